"""Why a run is queued: its place, what holds it now, and what would let it go."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterInstance, DagsterRunStatus, instance_concurrency_settings
from clt_queued_run_coordinator.check.instance import TAG_LIMITS, shadowed_by_tag_limits
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.daemon.next_tick import NextTick, next_tick
from clt_queued_run_coordinator.explain import blockers
from clt_queued_run_coordinator.explain.blockers import Blocker, FullBesideOthers
from clt_queued_run_coordinator.explain.run_facts import RunFacts, StoredRun, full_pool, read
from clt_queued_run_coordinator.limits.tag_limits import other_tag_limits
from clt_queued_run_coordinator.queue.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.text.formats import duration


@dataclass(frozen=True)
class Explanation:
    """Why a run is queued.

    Attributes:
        run_id: Its id.
        status: `QUEUED`.
        code_location: Its code location; None where it tells none.
        job: Its job.
        priority: Its priority.
        place: Its place among the queued runs of its code location, in the order in which they are tried.
        of: How many those are.
        queued_seconds: How long ago it was created.
        share: The slots that are its code location's own where sharing is fair; None where nothing is shared.
        used_slot_seconds: What its code location has used of the slots lately; None where nothing is shared.
        starts_within_seconds: Where nothing holds it, the longest time to the next tick; else None.
        held_by: Each thing that holds it now.
        notes: What else is to be known.
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
        """The same as plain data, for JSON; the attributes are the fields."""
        return asdict(self)


def explain(
    instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator, stored: StoredRun, now: datetime
) -> Explanation:
    """Explain why a run is queued. Nothing is written.

    Args:
        instance: Whose queue.
        coordinator: The instance's.
        stored: The run, which is queued.
        now: The moment, in UTC.
    """
    facts = read(instance, coordinator, stored, now)
    holding = blockers.standing(facts)
    if not holding:
        holding = _held_in_turn(instance, facts)
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


def what_it_is(stored: StoredRun, now: datetime) -> str:
    """What a run is that isn't queued, as one line."""
    run_id, status = stored.run.run_id, stored.run.status
    if status in _ENDED:
        ended = stored.ended
        when = f" at {ended:%Y-%m-%d %H:%M:%S} UTC, {duration((now - ended).total_seconds())} ago" if ended else ""
        return f"Run {run_id} is not queued: it {_ENDED[status]}{when}"
    if status in (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.MANAGED):
        return f"Run {run_id} is not queued: it was created, and not submitted"
    since = stored.started
    when = f" since {since:%Y-%m-%d %H:%M:%S} UTC, {duration((now - since).total_seconds())}" if since else ""
    return f"Run {run_id} is not queued: it is in progress ({status.value}){when}"


_ENDED = {
    DagsterRunStatus.SUCCESS: "has succeeded",
    DagsterRunStatus.FAILURE: "has failed",
    DagsterRunStatus.CANCELED: "was canceled",
}


def _held_in_turn(instance: DagsterInstance, facts: RunFacts) -> list[Blocker]:
    """What the queued runs that go first leave nothing of; empty where the run starts at the next tick."""
    if not _has_rivals(facts):
        return []
    room = facts.tick.claims(facts.daemon.usage).room(facts.code_location)
    unlimited = facts.tick.slots is None and room is None
    at_least = facts.before + 1 if unlimited else 0
    coming = next_tick(instance, facts.tick, facts.front, facts.daemon, at_least)
    if facts.queued.id in coming.starts:
        return []
    return blockers.in_turn(facts, coming, _full_beside(instance, facts, coming))


def _has_rivals(facts: RunFacts) -> bool:
    """Whether other queued runs could take what this one needs; if not, it needn't be worked out who does."""
    slots = facts.tick.slots
    keys = {limit["key"] for limit in other_tag_limits(facts.tick.settings.tag_concurrency_limits)}
    if keys & facts.run.tags.keys() or facts.run.run_op_concurrency:
        return True
    if slots is not None and slots < facts.queued_in_all:
        return True
    limits = facts.tick.settings.code_location_limits
    if limits.has_job_or_backfill_limits or limits.has_backfill_shares:
        return True
    room = facts.tick.claims(facts.daemon.usage).room(facts.code_location)
    group = limits.group(facts.code_location)
    return room is not None and (room <= facts.before or group is not None)


def _full_beside(instance: DagsterInstance, facts: RunFacts, coming: NextTick) -> FullBesideOthers:
    if coming.checks is None:
        return FullBesideOthers()
    coming.checks.load_pools([facts.run])
    pools = [full_pool(instance, name, facts.in_progress) for name in coming.checks.full_pools(facts.run)]
    return FullBesideOthers(coming.checks.full_tag_limits(facts.run), pools)


def _notes(instance: DagsterInstance, facts: RunFacts) -> list[str]:
    notes = list(facts.tick.live.unreadable)
    if TAG_LIMITS in instance_concurrency_settings(instance):
        notes.append(str(shadowed_by_tag_limits()))
    if facts.daemon.narrowed is False:
        notes.append(
            "the daemon reads its whole queue: within a page, runs that wait for a pool use up limits as well, so"
            " a run can wait longer than is said here"
        )
    if facts.code_location == NO_CODE_LOCATION:
        notes.append("it tells no code location, so no limit of one holds for it; the total does")
    return notes
