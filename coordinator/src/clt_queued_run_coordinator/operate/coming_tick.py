"""Works out which runs a tick would start, by the daemon's own selection, now or if something were otherwise.

Nothing is written. What only the daemon's process knows is not taken into account: which code locations it is
backing off from, what backfills have earned of their share, and where the last tick stopped among held runs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterInstance, DagsterRun, with_read_only_pools
from clt_queued_run_coordinator.daemon.dagster_checks import DagsterChecks
from clt_queued_run_coordinator.daemon.manual_launches import pass_breakers
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.daemon.selection import SelectedRun, select
from clt_queued_run_coordinator.policy.changes import Change
from clt_queued_run_coordinator.policy.holds import limit_without_pause
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION, JobAndBackfill
from clt_queued_run_coordinator.policy.size import slots_of
from clt_queued_run_coordinator.policy.tag_limits import is_per_unique_value, limits_code_location


@dataclass(frozen=True)
class ComingTick:
    """What a tick would do: the queue that it would find, the runs that it would start, in order, and the checks.

    The checks are Dagster's own of tag limits and pools, with those runs counted.
    """

    state: QueueState
    selected: Sequence[SelectedRun]
    checks: DagsterChecks

    def starts(self, storage_id: int) -> bool:
        """Whether it would start a run."""
        return any(selected.queued.storage_id == storage_id for selected in self.selected)

    @cached_property
    def by_code_location(self) -> Counter[str]:
        """The slots that each code location would get."""
        slots: Counter[str] = Counter()
        for name, queued, _ in self.selected:
            slots[name] += queued.slots
        return slots


def checks_of(
    instance: DagsterInstance, state: QueueState, more_slots: Mapping[str, int] | None = None
) -> DagsterChecks:
    """Dagster's own checks against the runs in progress, without their writes.

    `more_slots` says how many slots more than it has each pool is to have.
    """
    return DagsterChecks(with_read_only_pools(instance, more_slots), state)


def coming_tick(
    instance: DagsterInstance,
    queue: QueuedRuns,
    state: QueueState,
    more_slots: Mapping[str, int] | None = None,
) -> ComingTick:
    """Work out which runs a tick would start, if state and pools were as given; see `checks_of`."""
    state = pass_breakers(instance, queue, state)
    checks = checks_of(instance, state, more_slots)
    return ComingTick(state, select(instance, queue, state, checks).runs, checks)


def with_room_for_one(state: QueueState, code_location: str, run: DagsterRun) -> QueueState:
    """The queue if all that holds a run regardless of the other queued runs had just room for one, pools aside."""
    settings, total = state.settings, state.settings.max_concurrent_runs
    slots = slots_of(settings.code_location_limits, code_location, run.tags)
    settings = replace(
        settings,
        max_concurrent_runs=total if total == -1 else max(total, state.in_progress_of.total() + slots),
        tag_concurrency_limits=[
            _tag_limit_with_room(entry, state, code_location, run) for entry in settings.tag_concurrency_limits
        ],
    )
    state = replace(state, settings=settings)
    if code_location == NO_CODE_LOCATION:
        return state
    limit = _with_room(limit_without_pause(state, code_location).limit, state.in_progress_of[code_location], slots)
    return with_limit(_with_room_in_its_code_location(state, code_location, run), code_location, limit)


def _with_room(limit: int | None, in_progress: int, slots: int = 1) -> int | None:
    return None if limit is None else max(limit, in_progress + slots)


def _tag_limit_with_room(
    entry: Mapping[str, Any], state: QueueState, code_location: str, run: DagsterRun
) -> Mapping[str, Any]:
    """One of Dagster's tag limits, with room for a run that it applies to."""
    if limits_code_location(entry, code_location):
        slots = slots_of(state.settings.code_location_limits, code_location, run.tags)
        return {**entry, "limit": _with_room(entry["limit"], state.in_progress_of[code_location], slots)}
    if counts_as(entry, run, run):
        in_progress = sum(counts_as(entry, run, other) for _, other in state.runs_in_progress())
        return {**entry, "limit": _with_room(entry["limit"], in_progress)}
    return entry


def _with_room_in_its_code_location(state: QueueState, name: str, run: DagsterRun) -> QueueState:
    """The same for the limits of the run's group, job and backfill."""
    limits = state.settings.code_location_limits
    entry, of_run = limits.entry(name), JobAndBackfill.of(run)
    own = [JobAndBackfill.of(other) for code_location, other in state.runs_in_progress() if code_location == name]
    most = _with_room(entry.max_per_job.of(run.job_name), sum(other.job == of_run.job for other in own))
    if most is not None:
        jobs = {**entry.max_per_job.jobs, run.job_name: most}
        entry = replace(entry, max_per_job=replace(entry.max_per_job, jobs=jobs))
    if of_run.backfill is not None:
        in_progress = sum(other.backfill == of_run.backfill for other in own)
        entry = replace(entry, max_per_backfill=_with_room(entry.max_per_backfill, in_progress))
    groups = dict(limits.groups)
    if group := limits.group(name):
        limit = _with_room(group.limit, state.in_progress_of_group(group), slots_of(limits, name, run.tags))
        groups[limits.group_of[name]] = replace(group, limit=limit)
    limits = replace(limits, entries={**limits.entries, name: entry}, groups=groups)
    return replace(state, settings=replace(state.settings, code_location_limits=limits))


def counts_as(limit: Mapping[str, Any], run: DagsterRun, other: DagsterRun) -> bool:
    """Whether another run uses up one of Dagster's tag limits for a run, or the run itself does."""
    key, value = limit["key"], limit.get("value")
    if is_per_unique_value(limit):
        value = run.tags.get(key)
    return key in run.tags and key in other.tags and (not isinstance(value, str) or other.tags[key] == value)


def with_limit(state: QueueState, code_location: str, limit: int | None) -> QueueState:
    """The queue if a code location had this limit, or its own, and were neither paused nor held by its breaker."""
    live, resumed = state.live, Change(0, "", state.live.read_at)

    def of_others(changes: Mapping[str, Change]) -> dict[str, Change]:
        return {name: change for name, change in changes.items() if name != code_location}

    live = replace(
        live,
        pauses={**live.pauses, code_location: resumed},
        pauses_until=of_others(live.pauses_until),
        breakers=of_others(live.breakers),
    )
    if limit is not None:
        limits = {**live.limits, code_location: replace(resumed, value=limit)}
        live = replace(live, limits=limits, limits_until=of_others(live.limits_until))
    return replace(state, live=live)


def without_tag_limits_on(state: QueueState, code_location: str) -> QueueState:
    """The queue if none of Dagster's tag limits were on a code location itself."""
    rest = [
        entry for entry in state.settings.tag_concurrency_limits if not limits_code_location(entry, code_location)
    ]
    return replace(state, settings=replace(state.settings, tag_concurrency_limits=rest))
