"""What keeps every run of a code location from starting, as far as the counts tell. Pure.

The one rule for what `status` says a code location waits for, for what `explain` says of one of its runs, and for
the tag of a queued run.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from clt_queued_run_coordinator.policy.changes import Change
from clt_queued_run_coordinator.policy.in_force import LimitInForce, Source, resolve
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.text.formats import timestamp

WAITS_FOR_TAG = "waits_for"
"""The key of the tag that says what a queued run waits for. Dagster's list of runs shows it below the run's ID."""

BEHIND_OTHERS = "runs before it"
"""What the tag of a run says that nothing holds but its place."""

_WORDS = (
    *("paused", "circuit breaker open", "limit ", "group limit ", "max_concurrent_runs ", "max_per_job"),
    *("max_per_backfill", "pool ", "tag limit ", "its code server", BEHIND_OTHERS),
)
"""What the values of the tag begin with."""


def is_ours(value: str | None) -> bool:
    """Whether this package wrote a value of the tag; users may have a tag of the same key."""
    return value is not None and value.startswith(_WORDS)


@dataclass(frozen=True)
class Hold:
    """One thing that by itself holds every run of a code location.

    Attributes:
        kind: The kind of thing, as `explain --output json` names it.
        waits_for: What has to happen, as `status` says it.
        tag: What holds the run, as its tag says it.
        change: The pause, or the opening of the circuit breaker.
        limit: The limit that is used up; 0 where it lets nothing start.
        in_force: Where the code location's own limit comes from, if that is the one.
    """

    kind: str
    waits_for: str
    tag: str
    change: Change | None = None
    limit: int = 0
    in_force: LimitInForce | None = None


def holds(
    state: QueueState, code_location: str, running: Counter[str] | None = None, slots: int = 1
) -> Iterator[Hold]:
    """All that holds every run of a code location now that takes so many slots, what an operator did first.

    Args:
        state: The queue.
        code_location: Its name, or `NO_CODE_LOCATION`.
        running: The slots that runs in progress hold by code location, if others have started meanwhile.
        slots: How many slots the runs take.
    """
    running = state.in_progress_of if running is None else running
    if code_location != NO_CODE_LOCATION:
        yield from _of_the_code_location(state, code_location, running, slots)
    total, in_all = state.settings.max_concurrent_runs, running.total()
    if total != -1 and in_all + slots > total:
        waits_for = "a free slot" if slots <= total else "a higher max_concurrent_runs"
        tag = _used_up("max_concurrent_runs", in_all, total, slots)
        yield Hold("max_concurrent_runs", waits_for, tag, limit=total)


def _of_the_code_location(state: QueueState, name: str, running: Counter[str], slots: int) -> Iterator[Hold]:
    if pause := state.live.pause(name):
        yield Hold("pause", "resume", _until("paused", pause, state.live.read_at), pause)
    if breaker := state.live.breakers.get(name):
        tag = _until("circuit breaker open", breaker, state.live.read_at)
        yield Hold("breaker", "its circuit breaker", tag, breaker)
    own = limit_without_pause(state, name)
    if own.limit is not None and running[name] + slots > own.limit:
        higher = "the end of its window" if own.source is Source.WINDOW else "a higher limit"
        tag = _used_up("limit", running[name], own.limit, slots)
        yield Hold("limit", "its limit" if own.limit >= slots else higher, tag, limit=own.limit, in_force=own)
    group = state.settings.code_location_limits.group(name)
    if group and group.limit is not None:
        of_group = sum(running[member] for member in group.locations)
        if of_group + slots > group.limit:
            waits_for = "its group's limit" if group.limit >= slots else "a higher limit of its group"
            tag = _used_up("group limit", of_group, group.limit, slots)
            yield Hold("group_limit", waits_for, tag, limit=group.limit)


def _used_up(what: str, running: int, most: int, slots: int) -> str:
    return f"{what} {running} of {most}" + (f", and it takes {slots} slots" if slots > 1 else "")


def _until(what: str, change: Change, now: datetime) -> str:
    """What a change does and until when; the day is left out if it is the same one, in UTC."""
    if change.until is None:
        return what
    until, today = timestamp(change.until), f"{now.astimezone(timezone.utc):%Y-%m-%d} "
    return f"{what} until {until.removeprefix(today)}"


def limit_without_pause(state: QueueState, code_location: str) -> LimitInForce:
    """The limit that would apply to a code location if it were not paused and its circuit breaker were closed."""
    live = replace(state.live, pauses={}, pauses_until={}, breakers={})
    return resolve(code_location, state.settings, live)
