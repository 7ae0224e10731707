"""Why a run is still queued: its place in the queue, what holds it, and what would let it start."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from clt_queued_run_coordinator._dagster import (
    DagsterEventType,
    DagsterInstance,
    RunRecord,
    instance_concurrency_settings,
    pools_of,
    run_database,
)
from clt_queued_run_coordinator.config.tag import code_location_of
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.daemon.dagster_checks import DagsterChecks
from clt_queued_run_coordinator.daemon.manual_launches import let_through
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.operate import blockers
from clt_queued_run_coordinator.operate import now as at_this_moment
from clt_queued_run_coordinator.operate.blockers import Advice, Blocker, FullPool, RunFacts, Unreached
from clt_queued_run_coordinator.operate.check import TAG_LIMITS, shadowed_by_tag_limits
from clt_queued_run_coordinator.operate.coming_tick import (
    checks_of,
    coming_tick,
    with_limit,
    with_room_for_one,
    without_tag_limits_on,
)
from clt_queued_run_coordinator.operate.daemon_seen import utc_time
from clt_queued_run_coordinator.operate.holds import holds, limit_without_pause
from clt_queued_run_coordinator.operate.now import Now
from clt_queued_run_coordinator.operate.stored_run import StoredRun
from clt_queued_run_coordinator.policy.in_force import Source
from clt_queued_run_coordinator.policy.job_and_backfill_limits import lane_key
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION, QueuedRun, is_manual
from clt_queued_run_coordinator.store.rows import run_ids

UNREACHED = "Run dequeue failed to reach the user code server"
"""The daemon logs a message that begins like this to a run whose code server did not answer."""

TRIED = 1000
"""With more runs than this ahead in its code location, no limit is looked for that would let a run start."""


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
        credit_slot_seconds: The credit of its code location; None if slots are not shared.
        starts_within_seconds: If nothing holds it, the longest time until the next tick; otherwise None.
        held_by: Everything that holds it now.
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
    share: float | None
    credit_slot_seconds: float | None
    starts_within_seconds: int | None
    held_by: Sequence[Blocker]
    notes: Sequence[str]

    def as_data(self) -> dict[str, Any]:
        """The explanation as plain data for JSON, with the attributes as fields."""
        return asdict(self)


def explain(
    instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator, stored: StoredRun
) -> Explanation | None:
    """Explain why a run is still queued. Writes nothing.

    Args:
        instance: The instance.
        coordinator: Its coordinator.
        stored: The run, whose body can be read.

    Returns:
        None if the run has left the queue in the meantime.
    """
    assert stored.run  # noqa: S101 - as the docstring demands
    queue = QueuedRuns(lane_key(coordinator.settings.code_location_limits))
    now = at_this_moment.read(instance, coordinator.settings, queue)
    if stored.storage_id not in queue:
        return None
    name = code_location_of(stored.run) or NO_CODE_LOCATION
    if queue.code_location(stored.storage_id) != name:  # its rows name another one, but its body decides
        queue.relocate({stored.storage_id: name})
    state = replace(now.state, queued=queue.counts())
    order = list(queue.in_order(name))
    before = next(place for place, run in enumerate(order) if run.storage_id == stored.storage_id)
    share = now.share(name)
    facts = RunFacts(state, stored.run, stored.storage_id, name, before, share)
    held_by = [
        *blockers.of_the_daemon(facts, now.daemon, timedelta(seconds=coordinator.dequeue_interval_seconds)),
        *_code_server(instance, coordinator, facts, order[0]),
        *_of_the_queue(instance, queue, facts),
    ]
    return Explanation(
        run_id=stored.run_id,
        status=stored.status.value,
        code_location=name or None,
        job=stored.run.job_name,
        priority=order[before].priority,
        place=before + 1,
        of=len(order),
        queued_seconds=max(0.0, (now.at - stored.created).total_seconds()),
        share=share,
        credit_slot_seconds=now.credit_slot_seconds(name),
        starts_within_seconds=None if held_by else coordinator.dequeue_interval_seconds,
        held_by=held_by,
        notes=list(_notes(instance, now, name)),
    )


def _of_the_queue(instance: DagsterInstance, queue: QueuedRuns, facts: RunFacts) -> Iterator[Blocker]:
    """What holds the run whatever else is queued, and then what the runs ahead of it hold it by."""
    state, name = facts.state, facts.code_location
    checks = checks_of(instance, state)
    checks.load_pools([facts.run])
    more_slots = checks.missing_slots(facts.run)
    passes = name in let_through(state) and is_manual(facts.run)
    counted = [hold for hold in holds(state, name) if not (passes and hold.kind == "breaker")]
    room = with_room_for_one(state, name, facts.run)
    advice = Advice()
    if any(hold.in_force for hold in counted):
        advice = _advice(instance, queue, facts, room, more_slots)
    facts = replace(facts, advice=advice)
    held_by = [
        *(blockers.from_counts(facts, hold) for hold in counted),
        *blockers.within_the_code_location(facts),
        *_from_dagsters_checks(instance, checks, facts),
    ]
    yield from held_by
    coming = coming_tick(instance, queue, room if held_by else state, more_slots)
    if not coming.starts(facts.storage_id):
        coming.checks.load_pools([facts.run])
        ahead = [
            *blockers.from_runs_ahead(facts, coming, later=bool(held_by)),
            *_from_dagsters_checks(instance, coming.checks, facts, by_others=True),
        ]
        yield from ahead or [blockers.not_looked_at(facts)]


def _advice(
    instance: DagsterInstance,
    queue: QueuedRuns,
    facts: RunFacts,
    room: QueueState,
    more_slots: dict[str, int],
) -> Advice:
    """The smallest limit that lets the run start, found by working out the tick with it."""
    name, in_progress = facts.code_location, facts.state.in_progress_of[facts.code_location]
    own_limit = None
    if limit_without_pause(facts.state, name).source is Source.TAG_LIMIT:
        room = without_tag_limits_on(room, name)
        own_limit = limit_without_pause(without_tag_limits_on(facts.state, name), name).limit
    if facts.before > TRIED:
        return Advice(own_limit=own_limit)
    most = in_progress + facts.before + 1
    coming = coming_tick(instance, queue, with_limit(room, name, most), more_slots)
    starting = [run.queued.storage_id for run in coming.selected if run.code_location == name]
    if facts.storage_id not in starting:
        return Advice(own_limit=own_limit)
    before = starting.index(facts.storage_id)
    enough = in_progress + before + 1
    # A smaller limit can make a share smaller, so it is tried as well.
    if enough < most and not coming_tick(instance, queue, with_limit(room, name, enough), more_slots).starts(
        facts.storage_id
    ):
        enough = most
    return Advice(enough, before, own_limit)


def _from_dagsters_checks(
    instance: DagsterInstance, checks: DagsterChecks, facts: RunFacts, *, by_others: bool = False
) -> Iterator[Blocker]:
    yield from blockers.from_tag_limits(facts, checks.full_tag_limits(facts.run), by_others=by_others)
    for name in checks.full_pools(facts.run):
        yield blockers.full_pool(facts, _full_pool(instance, name, facts.state.in_progress), by_others=by_others)


def _full_pool(instance: DagsterInstance, name: str, in_progress: Sequence[RunRecord]) -> FullPool:
    """A full pool and what holds its slots."""
    stored = instance.event_log_storage.get_concurrency_info(name)
    is_new = not stored.slot_count and stored.using_default_limit
    claimed = [(slot.run_id, slot.step_key) for slot in stored.claimed_slots]
    given = [(step.run_id, step.step_key) for step in stored.pending_steps if step.assigned_timestamp is not None]
    return FullPool(
        name=name,
        slots=(stored.limit or 0) if is_new else stored.slot_count,
        steps=[*claimed, *(step for step in given if step not in claimed)],
        runs=[record for record in in_progress if name in pools_of(record.dagster_run)],
    )


def _code_server(
    instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator, facts: RunFacts, first: QueuedRun
) -> Iterator[Blocker]:
    queue = coordinator.get_run_queue_config()
    if not queue.max_user_code_failure_retries:
        return
    with run_database(instance).connect() as connection:
        ids = {facts.run.run_id, *run_ids(connection, [first.storage_id]).values()}
    attempt = _unreached(instance, ids)
    if attempt and (
        blocker := blockers.code_server_down(
            facts, attempt, queue.max_user_code_failure_retries, queue.user_code_failure_retry_delay
        )
    ):
        yield blocker


def _unreached(instance: DagsterInstance, ids: Collection[str]) -> Unreached | None:
    """The last failed attempt to start one of these runs, from their event logs."""
    attempts = []
    for run_id in ids:
        events = instance.get_records_for_run(run_id, of_type=DagsterEventType.ENGINE_EVENT).records
        failed = [event for event in events if event.event_log_entry.message.startswith(UNREACHED)]
        at = utc_time(failed[-1].event_log_entry.timestamp) if failed else None
        if at:
            attempts.append(Unreached(at, run_id, len(failed)))
    return max(attempts, key=lambda attempt: attempt.at, default=None)


def _notes(instance: DagsterInstance, now: Now, code_location: str) -> Iterator[str]:
    yield from now.state.live.unreadable
    if TAG_LIMITS in instance_concurrency_settings(instance):
        yield str(shadowed_by_tag_limits())
    if now.daemon.narrowed is False:
        yield (
            "this Dagster's daemon asks for the queue in a way that isn't known here, so it applies the limits as"
            " plain tag limits: shares, minimums, max_per_job, max_per_backfill and backfill_share don't apply"
        )
    if code_location == NO_CODE_LOCATION:
        yield "its code location is unknown, so of the limits only max_concurrent_runs and tag limits apply to it"
