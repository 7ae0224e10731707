"""What holds a queued run now, from the facts about it. Pure.

A blocker says what it is, which runs use it up, and what would let the run start. Each one alone holds the run.
When all of them are gone, it starts.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from shlex import quote
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterRun, RunQueueConfig, RunRecord, pools_of
from clt_queued_run_coordinator.config.tag import code_location_of
from clt_queued_run_coordinator.operate.coming_tick import ComingTick, counts_as, without_tag_limits_on
from clt_queued_run_coordinator.operate.daemon_seen import DaemonSeen, utc_time
from clt_queued_run_coordinator.policy.changes import Change
from clt_queued_run_coordinator.policy.holds import Hold, limit_without_pause
from clt_queued_run_coordinator.policy.in_force import LimitInForce, Source
from clt_queued_run_coordinator.policy.job_and_backfill_limits import JobAndBackfillLimits
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION, JobAndBackfill
from clt_queued_run_coordinator.policy.size import slots_of
from clt_queued_run_coordinator.policy.tag_limits import is_per_unique_value
from clt_queued_run_coordinator.text.formats import count, duration

NAMED = 5
"""At most this many of the runs that use something up are named."""


@dataclass(frozen=True)
class Holder:
    """A run that uses up what a queued run is waiting for.

    Attributes:
        job: Its job; None if the run is no longer in progress.
        since: When it started, or changed last, as ISO 8601 in UTC; None if unknown.
        step: The step that holds a pool's slot; None for a whole run.
    """

    run_id: str
    job: str | None = None
    code_location: str | None = None
    since: str | None = None
    step: str | None = None


@dataclass(frozen=True)
class Blocker:
    """One cause that holds a queued run.

    Attributes:
        kind: The kind of cause, for `explain --output json`.
        what: The cause, in one line.
        cure: What would let the run start, in one line.
        holders: The first of the runs that use it up.
        held_by: How many runs use it up in all.
    """

    kind: str
    what: str
    cure: str
    holders: Sequence[Holder] = ()
    held_by: int = 0


@dataclass(frozen=True)
class RunFacts:
    """A queued run and its place.

    Attributes:
        state: The queue, whose runs in progress have the times of their changes in UTC.
        code_location: `NO_CODE_LOCATION` if unknown.
        before: How many queued runs of its code location go first.
        share: Its code location's share of the slots; None if slots are not shared.
    """

    state: QueueState
    run: DagsterRun
    storage_id: int
    code_location: str
    before: int
    share: float | None = None

    @property
    def slots(self) -> int:
        """How many slots it takes."""
        return slots_of(self.state.settings.code_location_limits, self.code_location, self.run.tags)

    def in_progress_of(self, *code_locations: str) -> list[RunRecord]:
        """The runs in progress of some code locations."""
        return [record for record in self.state.in_progress if _name(record) in code_locations]


def of_the_daemon(facts: RunFacts, daemon: DaemonSeen, interval: timedelta) -> Iterator[Blocker]:
    """The daemon doesn't live, its ticks fail, or one of them takes longer than the interval between two."""
    at = facts.state.live.read_at
    if daemon.is_silent(at):
        last = daemon.last_sign
        seen = f"last seen {duration((at - last).total_seconds())} ago" if last else "never seen"
        cure = "start dagster-daemon, or see its log and Deployment > Daemons in the UI"
        yield Blocker("daemon", f"the daemon is not reading the run queue: it was {seen}", cure)
        return
    launching = daemon.launching(facts.state.in_progress)
    error = daemon.failing(interval)
    if error and not launching:
        what = f"the daemon's ticks fail: {' '.join(error.split())[:200]}"
        yield Blocker("daemon_error", what, "see the daemon's log; no run starts in a tick that fails")
    elif since := daemon.busy_since(at, interval, launching):
        took = duration((at - since).total_seconds())
        what = f"the daemon runs, but none of its ticks has read the queue for {took}"
        if launching:
            runs = count(len(launching), "run")
            what = f"the daemon's tick of {took} ago is still under way: it is launching {runs}"
        cure = "wait: the next tick follows at once. If it hangs, see the daemon's log and the run launcher"
        yield _with_holders("tick", what, f"{cure}; don't start a second dagster-daemon", map(_holder, launching))


def from_counts(facts: RunFacts, hold: Hold, enough: tuple[int, int] | None) -> Blocker:
    """What holds the run's whole code location.

    `enough` is the smallest limit of it that lets the run start, and how many of its runs start before.
    """
    name, limits, rest, until = facts.code_location, facts.state.settings.code_location_limits, "", None
    if hold.change:
        is_paused = hold.kind == "pause"
        what = f"{name} is paused" if is_paused else f"the circuit breaker of {name} is open"
        or_wait = f", or wait until {_at(hold.change.until)}" if hold.change.until else ""
        return Blocker(hold.kind, what + _by(hold.change), f"dagster-clt resume {argument(name)}{or_wait}")
    if hold.in_force:
        subject, running = f"the limit of {name}", facts.in_progress_of(name)
        rest, until = f" (limit {_source(hold.in_force)})", hold.in_force.until
        raise_it = _raise_own_limit(facts, hold.in_force, enough)
    elif hold.kind == "group_limit":
        subject, raise_it = f"the limit of group {limits.group_of[name]}", "raise the group's limit"
        running = facts.in_progress_of(*limits.groups[limits.group_of[name]].locations)
    else:
        subject, raise_it, running = hold.kind, "raise max_concurrent_runs", [*facts.state.in_progress]
        rest = f" ({_by_whom(facts.state.in_progress_of)})" if running else ""
    slots = None
    if facts.state.queued_slots is not None:
        used = sum(slots_of(limits, _name(record), record.dagster_run.tags) for record in running)
        slots = used, facts.slots
    return _used_up(hold.kind, subject, hold.limit, running, raise_it, rest=rest, until=until, slots=slots)


def within_the_code_location(facts: RunFacts, starting: Sequence[DagsterRun] = ()) -> Iterator[Blocker]:
    """`max_per_job` and `max_per_backfill` of its code location, if they are used up, or once some runs start."""
    own = facts.in_progress_of(facts.code_location)
    first = [JobAndBackfill.of(run) for run in starting if code_location_of(run) == facts.code_location]
    limits = JobAndBackfillLimits(facts.state.settings.code_location_limits)
    for (_, part, value), most in limits.limited(facts.code_location, JobAndBackfill.of(facts.run)):
        running = [record for record in own if getattr(JobAndBackfill.of(record.dagster_run), part) == value]
        before = sum(getattr(run, part) == value for run in first)
        if len(running) + before < most:
            continue
        option, of = f"max_per_{part}", f"{part} {value or quote('')}"
        if before and len(running) >= most:
            yield _next_room(facts, f"{option} of {of}", [facts.code_location])
        elif before or not starting:
            rest = f", {_go_first(before, ' of it')}" if before else ""
            yield _used_up(option, f"{option} of {of}", most, running, f"raise {option}", rest=rest, of=of)


def from_tag_limits(
    facts: RunFacts, tag_limits: Iterable[Mapping[str, Any]], coming: ComingTick | None = None
) -> Iterator[Blocker]:
    """Those of Dagster's own tag limits that are used up; with a coming tick, by what it starts before the run."""
    for limit in tag_limits:
        key, value = limit["key"], facts.run.tags.get(limit["key"])
        one_value = is_per_unique_value(limit) or isinstance(limit.get("value"), str)
        subject = f"the tag limit on {f'{key}: {value}' if one_value else key}"
        if coming and limit not in facts.state.settings.tag_concurrency_limits:  # it was given room there
            takers = [one.code_location for one in coming.selected if counts_as(limit, facts.run, one.run)]
            yield _next_room(facts, subject, takers)
            continue
        holding = [record for record in facts.state.in_progress if counts_as(limit, facts.run, record.dagster_run)]
        yield _used_up(
            "tag_limit",
            subject,
            limit["limit"],
            holding,
            f"raise the limit of {key} in tag_concurrency_limits",
            rest=(" for each value" if is_per_unique_value(limit) else "")
            + (", and runs with it go first" if coming else ""),
        )


def from_runs_ahead(facts: RunFacts, coming: ComingTick, *, later: bool) -> Iterator[Blocker]:
    """The limits and slots that others take first, in a tick that is `later` if other blockers must go first."""
    state, name = coming.state, facts.code_location
    starts = coming.by_code_location
    room, takes = state.claims.code_locations[name].room, starts[name]
    group, within = state.settings.code_location_limits.group(name), [name]
    if group and group.limit is not None and (room is None or takes < room):
        room, within = max(0, group.limit - state.in_progress_of_group(group)), [*group.locations]
        takes = sum(starts[member] for member in within)
    if room is not None and takes + facts.slots > room:
        if turn := _turn_within(facts, coming):
            yield turn
        elif facts.before >= room or within != [name]:  # otherwise something else holds it: runs behind it start
            yield _order_within(facts, coming, room, within, later=later)
    elif state.free_slots is not None and starts.total() + facts.slots > state.free_slots:
        yield _turn_within(facts, coming) or _turn_of_others(facts, coming, later=later)
    if coming.selected:
        yield from within_the_code_location(facts, [selected.run for selected in coming.selected])


def kept(run_id: str, code_location: str, slots: int) -> Blocker:
    """The free slots are kept for a larger run, which smaller ones have passed for long."""
    what = f"free slots are kept for run {run_id} of {code_location}, which takes {slots} and was passed for long"
    return Blocker("kept", what, "wait until it has started, or cancel it")


def not_looked_at(facts: RunFacts) -> Blocker:
    """So many runs ahead are held that the coming tick doesn't get to it."""
    ahead = f"{count(facts.before, 'run')} of {facts.code_location} go first and are held"
    what = f"{ahead}; a tick looks past some of them, and the next one goes on from there"
    return Blocker("looked_at", what, f"wait a few ticks, or {_prioritize(facts)}")


def full_pool(facts: RunFacts, pool: str, stored: Any, *, by_others: bool = False) -> Blocker:
    """A pool that has no free slot for the run, if need be because of the runs that start before it alone.

    What is `stored` of its slots and who holds them is as Dagster's event log storage tells it.
    """
    is_new = not stored.slot_count and stored.using_default_limit
    number = (stored.limit or 0) if is_new else stored.slot_count
    steps = [
        *((slot.run_id, slot.step_key) for slot in stored.claimed_slots),
        *((step.run_id, step.step_key) for step in stored.pending_steps if step.assigned_timestamp is not None),
    ]
    running = {record.dagster_run.run_id: record for record in facts.state.in_progress}
    # Which runs in progress need the pool is known before they claim its slots.
    needing = [record for record in running.values() if pool in pools_of(record.dagster_run)]
    with_step = {run_id for run_id, _ in steps}
    holders = [
        replace(_holder(running[run_id]) if run_id in running else Holder(run_id), step=step)
        for run_id, step in dict.fromkeys(steps)
    ]
    holders += [_holder(record) for record in needing if record.dagster_run.run_id not in with_step]
    give_it = f"dagster instance concurrency set {argument(pool)} N"
    cure = f"wait for a slot, or give it more: {give_it}" if number else f"give it slots: {give_it}"
    if ended := sorted(with_step - running.keys()):
        cure = (
            f"free the slots of runs that are no longer in progress ({', '.join(ended[:NAMED])}) in"
            " Deployment > Concurrency in the UI"
        )
    rest = " once the runs that go first have started" if by_others else ""
    return _with_holders("pool", f"the pool {pool} is full{rest}: {count(number, 'slot')}", cure, holders)


def pool_later(facts: RunFacts, pool: str, coming: ComingTick) -> Blocker:
    """A pool that is full now, and whose next free slots others take."""
    takers = [one.code_location for one in coming.selected if pool in pools_of(one.run)]
    return _next_room(facts, f"the pool {pool}", takers)


def code_server_down(
    facts: RunFacts, queue: RunQueueConfig, last: float, run_id: str, attempts: int
) -> Iterator[Blocker]:
    """Its code server did not answer the last attempt, unless a run of the code location has started since.

    `last` is when the daemon tried it, in seconds since 1970, with a run of which so many attempts have failed.
    """
    if any((record.start_time or 0) > last for record in facts.in_progress_of(facts.code_location)):
        return
    ago = facts.state.live.read_at.timestamp() - last
    which = "this run" if run_id == facts.run.run_id else f"run {run_id}"
    wait = queue.user_code_failure_retry_delay - ago
    again = f"in {duration(wait)}" if wait > 0 else "at one of the next ticks"
    yield Blocker(
        "code_server",
        f"its code server did not answer the daemon's last attempt, {duration(ago)} ago, with {which} ({attempts}"
        f" of {queue.max_user_code_failure_retries} retries used); it is tried again {again}",
        f"start the code server of {facts.code_location}; see its log and Deployment > Code locations in the UI",
    )


def launch_hangs(facts: RunFacts, hanging: Mapping[str, str]) -> Iterator[Blocker]:
    """Launches of the same code location that have had no answer for long, be their runs canceled or not.

    The code location of each launch that hangs is given by its run.
    """
    if facts.code_location in hanging.values():
        launching = [of for of in facts.in_progress_of(facts.code_location) if of.dagster_run.run_id in hanging]
        what = f"a launch of {facts.code_location} has had no answer, and until it has ended no other one is tried"
        cure = "see the daemon's log, and whether the code server and the run launcher's API answer"
        yield _with_holders("launch", what, cure, map(_holder, launching))


def argument(name: str) -> str:
    """A name as an argument of a command that a person copies into a shell."""
    return f"-- {quote(name)}" if name.startswith("-") else quote(name)


def _used_up(
    kind: str,
    subject: str,
    most: int,
    running: Sequence[RunRecord],
    raise_it: str,
    *,
    rest: str = "",
    until: datetime | None = None,
    of: str = "",
    slots: tuple[int, int] | None = None,
) -> Blocker:
    """A number of runs in progress that allows no more. If it is 0, waiting for a run to end would help nobody.

    Where it counts slots, `slots` are those in use and those that the run takes. `raise_it` may be empty.
    """
    wait = f"wait until {_at(until)}" if until else ""
    if not most:
        what = f"{subject} is 0, so nothing starts{rest}"
    elif slots:
        used, takes = slots
        what = f"{subject} is {most} slots, of which {used} are in use by {count(len(running), 'run')}{rest}"
        what += f", and it takes {takes}"
        wait = f"wait until {takes} of them are free" if takes <= most else wait
    else:
        what = f"{subject} is used up: {len(running)} of {most} in progress{rest}"
        excess = len(running) - most + 1
        wait = f"wait for {f'{excess} runs' if excess > 1 else 'a run'}{f' of {of}' if of else ''} to end"
    or_else = ", or: " if raise_it.startswith("dagster") else ", or "
    return _with_holders(kind, what, or_else.join(filter(None, (wait, raise_it))), map(_holder, running))


def _raise_own_limit(facts: RunFacts, in_force: LimitInForce, enough: tuple[int, int] | None) -> str:
    """What lets the run start, together with those before it that nothing else holds; empty if nothing does."""
    if enough is None and (in_force.limit or 0) >= facts.slots:
        return ""
    name = facts.code_location
    limit, before = enough or (facts.state.in_progress_of[name] + facts.slots, 0)
    with_those = f", with the {before} before it" if before else ""
    command = f"dagster-clt set-limit {argument(name)} {limit}"
    if in_force.source is not Source.TAG_LIMIT:
        return command + with_those
    own_limit = limit_without_pause(without_tag_limits_on(facts.state, name), name).limit
    also = f", and {command}" if own_limit is not None and own_limit < limit else ""
    return f"raise the limit of {name} in tag_concurrency_limits to {limit}{also}{with_those}"


def _turn_within(facts: RunFacts, coming: ComingTick) -> Blocker | None:
    """Its code location's backfill runs and other runs take turns, and it is the turn of the other kind."""
    turns = JobAndBackfillLimits(facts.state.settings.code_location_limits).turns_of(facts.code_location)
    of_backfill = JobAndBackfill.of(facts.run).backfill is not None
    starting = [selected.run for selected in coming.selected if selected.code_location == facts.code_location]
    other_kind = any((JobAndBackfill.of(run).backfill is not None) is not of_backfill for run in starting)
    if turns is None or not other_kind:
        return None
    return Blocker(
        "backfill_share",
        f"runs of backfills and the other runs of {facts.code_location} take turns (backfill_share"
        f" {turns.share:g}), and it is the turn of {'the other runs' if of_backfill else 'the backfills'}",
        "wait for its turn, or change backfill_share",
    )


def _order_within(
    facts: RunFacts, coming: ComingTick, room: int, within: Sequence[str], *, later: bool
) -> Blocker:
    """Other runs of its code location, or of its group, take the room that there is."""
    state, name = facts.state, facts.code_location
    if facts.before >= room:
        whose, takers, in_force = name, [name], state.in_force(name)
        limit = "" if in_force.limit is None else f" (limit {in_force.limit} {_source(in_force)})"
        ahead = f"{_go_first(facts.before)}{'' if later else limit}"
    else:
        whose = f"group {state.settings.code_location_limits.group_of[name]}"
        takers = [member for member in within if coming.by_code_location[member]]
        ahead = f"{'' if later else 'and '}other runs of it go first"
    free = f"when there is room for a run of {whose}" if later else f"{count(room, 'slot')} free for {whose}"
    kind = "share" if state.is_fair and name not in takers else "order"
    return Blocker(kind, f"{free}, {ahead}", _wait_for_turn(facts, takers))


def _turn_of_others(facts: RunFacts, coming: ComingTick, *, later: bool) -> Blocker:
    name, state = facts.code_location, coming.state
    others = Counter({other: runs for other, runs in coming.by_code_location.items() if other != name})
    ahead = _by_whom(others) or _go_first(facts.before, f" of {name}")
    free = "when a slot is free," if later else f"{count(state.free_slots or 0, 'slot')} free in all, and"
    cure = _wait_for_turn(facts, coming.by_code_location)
    if not state.is_fair:
        what = f"{free} older runs or ones with a larger priority go first ({ahead})"
        return Blocker("order", what, cure)
    share = "" if facts.share is None else f" of its share of {facts.share:.1f}"
    held = f"{state.in_progress_of[name]}{'' if state.queued_slots is None else ' slots'}"
    return Blocker(
        "share",
        f"{free} it is the turn of {'other code locations' if others else 'the runs before it'}:"
        f" {name} has {held} in progress{share}; {'next are ' if others else ''}{ahead}",
        cure,
    )


def _go_first(number: int, of: str = "") -> str:
    return f"{count(number, 'run')}{of} {'goes' if number == 1 else 'go'} first"


def _next_room(facts: RunFacts, subject: str, takers: Collection[str]) -> Blocker:
    """Others take the next room in something that has none now, which is named already."""
    return Blocker("order", f"when {subject} has room, other runs go first", _wait_for_turn(facts, takers))


def _wait_for_turn(facts: RunFacts, takers: Collection[str]) -> str:
    """What brings the run before those that start instead of it.

    With fair sharing a priority brings it only before other runs of its own code location. `takers` are the code
    locations of the runs that start.
    """
    name, limits = facts.code_location, facts.state.settings.code_location_limits
    if name in takers or not facts.state.is_fair:
        return f"wait for its turn, or {_prioritize(facts)}"
    group = limits.group(name)
    is_within = group is None or any(taker in group.locations for taker in takers)
    whose = name if is_within else f"group {limits.group_of[name]}"
    return f"wait for its turn; a larger weight of {whose} makes its share larger"


def _with_holders(kind: str, what: str, cure: str, holders: Iterable[Holder]) -> Blocker:
    all_holders = list(holders)
    return Blocker(kind, what, cure, all_holders[:NAMED], len(all_holders))


def _holder(record: RunRecord) -> Holder:
    run: DagsterRun = record.dagster_run
    since = utc_time(record.start_time) or record.update_timestamp
    return Holder(run.run_id, run.job_name, code_location_of(run), since.isoformat(timespec="seconds"))


def _name(record: RunRecord) -> str:
    return code_location_of(record.dagster_run) or NO_CODE_LOCATION


def _by_whom(counts: Counter[str]) -> str:
    most = [f"{name or 'without a code location'} {runs}" for name, runs in counts.most_common(NAMED)]
    return ", ".join([*most, *([f"{len(counts) - NAMED} more"] if len(counts) > NAMED else [])])


def _prioritize(facts: RunFacts) -> str:
    return f"raise its priority: dagster-clt prioritize {facts.run.run_id} N"


def _source(in_force: LimitInForce) -> str:
    until = f" until {_at(in_force.until)}" if in_force.until and not in_force.change else ""
    come_from = "set live" if in_force.source is Source.LIVE else f"from {in_force.source.value}"
    return f"{come_from}{_by(in_force.change)}{until}"


def _by(change: Change | None) -> str:
    if change is None:
        return ""
    until = f" until {_at(change.until)}" if change.until else ""
    reason = f": {change.reason}" if change.reason else ""
    return f" by {change.by} since {_at(change.at)}{until}{reason}"


def _at(at: datetime) -> str:
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
