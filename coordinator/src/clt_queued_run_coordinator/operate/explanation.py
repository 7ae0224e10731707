"""Why a run is still queued: its place in the queue, what blocks it, and what would let it start."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterInstance, DagsterRunStatus, instance_concurrency_settings
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.operate import blockers
from clt_queued_run_coordinator.operate.blockers import Blocker, UsedUpByRunsAhead
from clt_queued_run_coordinator.operate.check import TAG_LIMITS, shadowed_by_tag_limits
from clt_queued_run_coordinator.operate.next_tick import NextTick, next_tick
from clt_queued_run_coordinator.operate.run_facts import RunFacts, StoredRun, full_pool, read
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.policy.tag_limits import other_tag_limits
from clt_queued_run_coordinator.text.formats import duration


@dataclass(frozen=True)
class Explanation:
    """Why a run is still queued.

    Attributes:
        run_id: Its id.
        status: `QUEUED`.
        code_location: Its code location; None if unknown.
        job: Its job.
        priority: Its priority.
        place: Its place among the queued runs of its code location, in the order in which they are tried.
        of: How many queued runs its code location has.
        queued_seconds: How long ago it was created.
        share: Its code location's share of the slots; None if slots are not shared.
        used_slot_seconds: The slot-seconds that its code location used lately; None if slots are not shared.
        starts_within_seconds: If nothing blocks it, the longest time until the next tick; otherwise None.
        held_by: Everything that blocks it now.
        notes: Anything else worth knowing.
    """

    run_id: str
    status: str
    code_location: str | None
    job: str
    priority: int
    place: int
    of: int
    queued_seconds: float
    share: int | None
    used_slot_seconds: float | None
    starts_within_seconds: int | None
    held_by: Sequence[Blocker]
    notes: Sequence[str]

    def as_data(self) -> dict[str, Any]:
        """The explanation as plain data for JSON, with the attributes as fields."""
        return asdict(self)


def explain(
    instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator, stored: StoredRun, now: datetime
) -> Explanation:
    """Explain why a run is still queued. Writes nothing.

    Args:
        instance: The instance.
        coordinator: Its coordinator.
        stored: The run, which is queued.
        now: The current time, in UTC.
    """
    facts = read(instance, coordinator, stored, now)
    holding = blockers.independent_blockers(facts)
    if not holding:
        holding = _blocked_by_runs_ahead(instance, facts)
    elif behind := blockers.behind_others(facts):
        holding.append(behind)
    around = (blockers.queue_not_read, blockers.daemon_failing, blockers.code_server_down)
    held_by = [*(blocker for blocker in (of(facts) for of in around) if blocker), *holding]
    return Explanation(
        run_id=stored.run.run_id,
        status=stored.run.status.value,
        code_location=facts.code_location or None,
        job=stored.run.job_name,
        priority=facts.queued.priority,
        place=facts.before + 1,
        of=facts.of,
        queued_seconds=max(0.0, (now - stored.created).total_seconds()),
        share=facts.share,
        used_slot_seconds=None if facts.used is None else round(facts.used, 1),
        starts_within_seconds=None if held_by else facts.interval,
        held_by=held_by,
        notes=list(_notes(instance, facts)),
    )


def describe_unqueued(stored: StoredRun, now: datetime) -> str:
    """What became of a run that isn't queued, in one line."""
    run_id, status = stored.run.run_id, stored.run.status
    if status in _ENDED:
        ended = stored.ended
        when = f" at {ended:%Y-%m-%d %H:%M:%S} UTC, {duration((now - ended).total_seconds())} ago" if ended else ""
        return f"Run {run_id} is not queued: it {_ENDED[status]}{when}"
    if status in (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.MANAGED):
        return f"Run {run_id} is not queued: it was created but never submitted"
    since = stored.started
    when = f" since {since:%Y-%m-%d %H:%M:%S} UTC, {duration((now - since).total_seconds())}" if since else ""
    return f"Run {run_id} is not queued: it is in progress ({status.value}){when}"


_ENDED = {
    DagsterRunStatus.SUCCESS: "has succeeded",
    DagsterRunStatus.FAILURE: "has failed",
    DagsterRunStatus.CANCELED: "was canceled",
}


def _blocked_by_runs_ahead(instance: DagsterInstance, facts: RunFacts) -> list[Blocker]:
    """The blockers that the runs ahead cause; empty if the run starts at the next tick."""
    if not _competes(facts):
        return []
    room = facts.tick.room(facts.code_location)
    unlimited = facts.tick.free_slots is None and room is None
    at_least = facts.before + 1 if unlimited else 0
    coming = next_tick(instance, facts.tick, facts.front, facts.daemon, at_least)
    if facts.queued.storage_id in coming.starts:
        return []
    return blockers.blockers_by_runs_ahead(facts, coming, _used_up_by_runs_ahead(instance, facts, coming))


def _competes(facts: RunFacts) -> bool:
    """Whether other queued runs could take what this one needs. If not, the next tick need not be worked out."""
    slots = facts.tick.free_slots
    keys = {limit["key"] for limit in other_tag_limits(facts.tick.settings.tag_concurrency_limits)}
    if keys & facts.run.tags.keys() or facts.run.run_op_concurrency:
        return True
    if slots is not None and slots < facts.queued_in_all:
        return True
    limits = facts.tick.settings.code_location_limits
    if limits.has_job_or_backfill_limits or limits.has_backfill_shares:
        return True
    room = facts.tick.room(facts.code_location)
    group = limits.group(facts.code_location)
    return room is not None and (room <= facts.before or group is not None)


def _used_up_by_runs_ahead(instance: DagsterInstance, facts: RunFacts, coming: NextTick) -> UsedUpByRunsAhead:
    if coming.checks is None:
        return UsedUpByRunsAhead()
    coming.checks.load_pools([facts.run])
    pools = [full_pool(instance, name, facts.in_progress) for name in coming.checks.full_pools(facts.run)]
    return UsedUpByRunsAhead(coming.checks.full_tag_limits(facts.run), pools)


def _notes(instance: DagsterInstance, facts: RunFacts) -> list[str]:
    notes = list(facts.tick.live.unreadable)
    if TAG_LIMITS in instance_concurrency_settings(instance):
        notes.append(str(shadowed_by_tag_limits()))
    if facts.daemon.narrowed is False:
        notes.append(
            "the daemon reads its whole queue: within a page, runs that wait for a pool use up limits as well, so"
            " a run can wait longer than shown here"
        )
    if facts.code_location == NO_CODE_LOCATION:
        notes.append(
            "its code location is unknown, so of the limits only max_concurrent_runs and tag limits apply to it"
        )
    return notes
