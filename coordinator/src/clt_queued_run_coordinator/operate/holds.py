"""What keeps every run of a code location from starting, as far as the counts tell. Pure.

The one rule for what `status` says a code location waits for and for what `explain` says of one of its runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from clt_queued_run_coordinator.policy.changes import Change
from clt_queued_run_coordinator.policy.in_force import LimitInForce, Source
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION


@dataclass(frozen=True)
class Hold:
    """One thing that by itself holds every run of a code location.

    Attributes:
        kind: The kind of thing, as `explain --output json` names it.
        waits_for: What has to happen, as `status` says it.
        change: The pause, or the opening of the circuit breaker.
        limit: The limit that is used up; 0 where it lets nothing start.
        in_force: Where the code location's own limit comes from, if that is the one.
    """

    kind: str
    waits_for: str
    change: Change | None = None
    limit: int = 0
    in_force: LimitInForce | None = None


def holds(state: QueueState, code_location: str) -> Iterator[Hold]:
    """All that holds every run of a code location, or of `NO_CODE_LOCATION`, now; what an operator did first."""
    if code_location != NO_CODE_LOCATION:
        yield from _of_the_code_location(state, code_location)
    if state.free_slots == 0:
        total = state.settings.max_concurrent_runs
        yield Hold("max_concurrent_runs", "a free slot" if total else "a higher max_concurrent_runs", limit=total)


def _of_the_code_location(state: QueueState, name: str) -> Iterator[Hold]:
    if pause := state.live.pause(name):
        yield Hold("pause", "resume", pause)
    if breaker := state.live.breakers.get(name):
        yield Hold("breaker", "its circuit breaker", breaker)
    own = limit_without_pause(state, name)
    if own.limit is not None and state.in_progress_of[name] >= own.limit:
        higher = "the end of its window" if own.source is Source.WINDOW else "a higher limit"
        yield Hold("limit", "its limit" if own.limit else higher, limit=own.limit, in_force=own)
    group = state.settings.code_location_limits.group(name)
    if group and group.limit is not None and state.in_progress_of_group(group) >= group.limit:
        waits_for = "its group's limit" if group.limit else "a higher limit of its group"
        yield Hold("group_limit", waits_for, limit=group.limit)


def limit_without_pause(state: QueueState, code_location: str) -> LimitInForce:
    """The limit that would apply to a code location if it were not paused and its circuit breaker were closed."""
    live = replace(state.live, pauses={}, pauses_until={}, breakers={})
    return replace(state, live=live).in_force(code_location)
