"""The words that the pages use for what the operating side says. Pure."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from clt_queued_run_coordinator._dagster import RunRecord
from clt_queued_run_coordinator.config.options import CodeLocationLimits
from clt_queued_run_coordinator.operate.daemon_seen import DaemonSeen
from clt_queued_run_coordinator.operate.status import CodeLocationStatus, GroupStatus, Status
from clt_queued_run_coordinator.page.readings import Queue
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION
from clt_queued_run_coordinator.policy.in_force import Source
from clt_queued_run_coordinator.store.history import HistoryEntry
from clt_queued_run_coordinator.text.formats import count, duration, timestamp

LONG = timedelta(minutes=1)
"""A tick that takes longer is worth telling everybody; `explain` tells of shorter ones."""

WAITS = {
    "a free slot": "All {total} slots are in use",
    "a higher max_concurrent_runs": "No run may start: max_concurrent_runs is 0",
    "its limit": "Its limit is reached: {in_progress} of {limit} in progress",
    "a higher limit": "Its limit is 0, so none of its runs starts",
    "the end of its window": "No run may start at this time of day",
    "its group's limit": "The limit of its group {group} is reached",
    "a higher limit of its group": "The limit of its group {group} is 0",
    "its share": "Others' turn: it has its share of the slots",
    "the next tick": "Starts in a moment",
}
"""What `status` says that a code location waits for, as a sentence to its team."""

WAITS_FOR_SLOTS = {
    "a free slot": "Too few of the {total} slots are free for its next run",
    "a higher max_concurrent_runs": "Its next run takes more than all {total} slots",
    "its limit": "Its limit is reached: {in_progress} of {limit} slots in use",
    "a higher limit": "Its next run takes more slots than its limit of {limit}",
    "the end of its window": "Its next run takes more slots than its limit at this time of day",
    "its group's limit": "Too little of the limit of its group {group} is free for its next run",
    "a higher limit of its group": "Its next run takes more slots than the limit of its group {group}",
}
"""The same where a run may take more than one slot, and the limit isn't 0."""

POOLS = ("the pool ", "the pools ")
"""How what `status` says begins where pools are full."""

SOURCES = {
    Source.NONE.value: "no limit",
    Source.DEFAULT.value: "the default of all code locations",
    Source.CONFIGURATION.value: "from the configuration",
    Source.TAG_LIMIT.value: "from Dagster's tag_concurrency_limits",
    Source.WINDOW.value: "for this time of day",
    Source.LIVE.value: "changed",
    Source.BREAKER.value: "circuit breaker open",
    Source.PAUSED.value: "paused",
}


ORDERS: dict[str, Callable[[CodeLocationStatus], Any]] = {
    "name": lambda line: line.code_location,
    "queued": lambda line: (-line.queued, line.code_location),
    "progress": lambda line: (-line.in_progress, line.code_location),
    "oldest": lambda line: (-(line.oldest_queued_seconds or 0), line.code_location),
}
"""How the code locations can be ordered."""

LISTED_CHANGES = 20
"""The most changes on the page of a code location."""


def shown(status: Status, find: str, only: str, order: str) -> list[CodeLocationStatus]:
    """The code locations whose names have a text in them, `only` the `busy` ones, in an order."""
    lines = [line for line in status.code_locations if find.lower() in line.code_location.lower()]
    busy = [line for line in lines if line.queued or line.in_progress]
    return sorted(busy if only == "busy" else lines, key=ORDERS.get(order, ORDERS["name"]))


def oldest(status: Status) -> float | None:
    """How long the oldest queued run of all has waited, in seconds; None if none waits."""
    waits = [line.oldest_queued_seconds for line in status.code_locations]
    return max((wait for wait in waits if wait is not None), default=None)


def changes_of(history: Sequence[HistoryEntry], code_location: str) -> list[HistoryEntry]:
    """The latest changes of a code location, those of all code locations among them."""
    own = (entry for entry in history if entry.code_location in {code_location, EVERY_CODE_LOCATION})
    return list(islice(own, LISTED_CHANGES))


def state_of(line: CodeLocationStatus, queue: Queue) -> str:
    """What a code location waits for, in a sentence; empty if nothing is to be said."""
    if line.limit_from == Source.PAUSED.value:
        return f"Paused{changed(line)}"
    if line.limit_from == Source.BREAKER.value:
        return f"Stopped by its circuit breaker{changed(line)}"
    if not line.queued:
        return ""
    waits_for = line.waits_for.partition(";")[0]
    in_slots = line.in_progress_slots is not None and line.limit != 0
    sentence = (in_slots and WAITS_FOR_SLOTS.get(waits_for)) or WAITS.get(waits_for)
    if line.waits_for.startswith(POOLS):
        return f"No slot is free in {line.waits_for}"
    if sentence is None:  # the counts don't tell; the page of its first run does
        return "A pool, another limit or its code server holds it"
    return sentence.format(
        total=queue.status.max_concurrent_runs, in_progress=line.used, limit=line.limit, group=line.group
    )


def in_runs(of_it: CodeLocationStatus | GroupStatus | Status) -> str:
    """What follows the slots in use: that they are slots, and of how many runs; empty where each run takes one."""
    return "" if of_it.in_progress_slots is None else f" slots, {count(of_it.in_progress, 'run')}"


def is_stopped(line: CodeLocationStatus) -> bool:
    """Whether somebody or something stopped it: a pause or its circuit breaker."""
    return line.limit_from in {Source.PAUSED.value, Source.BREAKER.value}


def sentence(text: str) -> str:
    """A text as a sentence."""
    begin = text[:1].upper() if text.partition(" ")[0].isalpha() else text[:1]  # a name stays as it is
    return f"{begin}{text[1:].rstrip('.')}."


def since(record: RunRecord, at: datetime) -> str:
    """Since when a run is in progress."""
    if record.start_time is None:
        return "being launched"
    return f"{duration(at.timestamp() - record.start_time)} ago"


def changed(line: CodeLocationStatus) -> str:
    """Who made the change behind a limit, until when and why; begins with a blank."""
    until = f" until {moment(line.changed_until)}" if line.changed_until else ""
    by = f" by {line.changed_by}" if line.changed_by else ""
    return until + by + (f": {line.change_reason}" if line.change_reason else "")


def limit_of(line: CodeLocationStatus) -> str:
    """The limit and where it comes from."""
    if line.limit_from == Source.NONE.value:
        return "no limit"
    return f"{line.limit}, {SOURCES[line.limit_from]}{changed(line)}"


def within(limits: CodeLocationLimits, name: str) -> Iterator[tuple[str, str]]:
    """The limits within a code location, and what else is configured for it: a name and a sentence for each."""
    entry, group, unit = limits.entry(name), limits.group(name), "slot" if limits.slot else "run"
    if group:
        most = "no limit" if group.limit is None else f"at most {count(group.limit, unit)} in progress together"
        yield f"Group {limits.group_name(name)}", f"{', '.join(sorted(group.locations))}: {most}"
    if entry.max_per_job.default is not None:
        yield "Each job", f"at most {count(entry.max_per_job.default, 'run')} in progress"
    for job, most_of_job in sorted(entry.max_per_job.jobs.items()):
        yield f"Job {job}", f"at most {count(most_of_job, 'run')} in progress"
    if entry.max_per_backfill is not None:
        yield "Each backfill", f"at most {count(entry.max_per_backfill, 'run')} in progress"
    if entry.backfill_share is not None:
        yield "Backfills", f"{entry.backfill_share:.0%} of the starts while other runs wait too"
    if entry.max_queued is not None:
        yield "Queue", f"at most {count(entry.max_queued, 'run')}; what is launched beyond that fails"
    if entry.min:
        yield "Kept for it", f"{entry.min} slots while it has runs that can start"
    for window in entry.windows:
        most_then = count(window.limit, unit)
        yield (
            "At times",
            f"at most {most_then} for {duration(window.seconds)} from {window.cron} ({window.timezone})",
        )
    if entry.breaker:
        yield "Circuit breaker", f"opens after {entry.breaker.failures} failed runs"


def daemon_trouble(queue: Queue) -> str:
    """What is wrong with the daemon, in a sentence; empty if nothing is."""
    daemon: DaemonSeen = queue.now.daemon
    at = queue.now.at
    if daemon.is_silent(at):
        last = daemon.last_sign
        seen = f"It was last seen {duration((at - last).total_seconds())} ago." if last else "It was never seen."
        return f"No run starts: Dagster's daemon is not reading the queue. {seen}"
    launching = daemon.launching(queue.now.state.in_progress)
    error = daemon.failing(queue.interval)
    if error and not launching:
        return f"No run starts: the daemon's look at the queue fails: {' '.join(error.split())[:200]}"
    since = daemon.busy_since(at, queue.interval, launching)
    if since and at - since > LONG:
        what = f": it is launching {count(len(launching), 'run')}" if launching else ""
        return f"The daemon has not read the queue for {duration((at - since).total_seconds())}{what}."
    return ""


def moment(text: str | None) -> str:
    """A time that is stored as ISO 8601, to the minute; empty for none."""
    return timestamp(datetime.fromisoformat(text).replace(second=0)) if text else ""
