"""Why a run is still queued: its place in the queue, what holds it, and what would let it start."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from itertools import islice
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    DagsterEventType,
    DagsterInstance,
    RunRecord,
    RunsTable,
    run_database,
)
from clt_queued_run_coordinator.config.tag import code_location_of
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.daemon.dagster_checks import DagsterChecks
from clt_queued_run_coordinator.daemon.manual_launches import let_through
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.operate import blockers
from clt_queued_run_coordinator.operate import now as at_this_moment
from clt_queued_run_coordinator.operate.blockers import Blocker, RunFacts
from clt_queued_run_coordinator.operate.check import shadowed_by_tag_limits
from clt_queued_run_coordinator.operate.coming_tick import (
    ComingTick,
    checks_of,
    coming_tick,
    with_limit,
    with_room_for_one,
    without_tag_limits_on,
)
from clt_queued_run_coordinator.operate.now import Now
from clt_queued_run_coordinator.operate.start_estimate import start_estimates
from clt_queued_run_coordinator.operate.stored_run import StoredRun
from clt_queued_run_coordinator.policy.estimate import Estimate
from clt_queued_run_coordinator.policy.holds import holds, limit_without_pause
from clt_queued_run_coordinator.policy.in_force import Source
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION, QueuedRun, is_manual
from clt_queued_run_coordinator.policy.size import slots_of
from clt_queued_run_coordinator.store.database_clock import in_utc, utc
from clt_queued_run_coordinator.store.rows import of_runs, run_ids

UNREACHED = "Run dequeue failed to reach the user code server"
"""The daemon logs a message that begins like this to a run whose code server did not answer."""

TRIED = 1000
"""With more runs than this ahead in its code location, no limit is looked for that would let a run start."""


@dataclass(frozen=True)
class Explanation:
    """Why a run is still queued.

    Attributes:
        status: `QUEUED`.
        code_location: None if unknown.
        place: Its place among the queued runs of its code location, in the order in which they are tried.
        of: How many queued runs its code location has.
        queued_seconds: How long ago it was created.
        slots: How many slots it takes; None where each run takes one, and then not in `as_data`.
        share: Of its code location; None, like the credit, if slots are not shared.
        starts_within_seconds: If nothing holds it, the longest time until the next tick; otherwise None.
        estimate: When it will start: a range, or why there is none.
        held_by: Everything that holds it now.
        notes: Anything else worth knowing.
        beside: When others of its code location will start, by the storage's ids; not in `as_data`.
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
    estimate: Estimate
    held_by: Sequence[Blocker]
    notes: Sequence[str]
    slots: int | None = None
    beside: Mapping[int, Estimate] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """The explanation as plain data for JSON, with the other attributes as fields."""
        left_out = {"beside", *(("slots",) if self.slots is None else ())}
        return {name: value for name, value in asdict(self).items() if name not in left_out}


def explain(
    instance: DagsterInstance,
    coordinator: CLTQueuedRunCoordinator,
    stored: StoredRun,
    queue: QueuedRuns | None = None,
    beside: Sequence[int] = (),
) -> Explanation | None:
    """Explain why a run, whose body can be read, is still queued; None if it has left the queue. Writes nothing.

    Whoever asks often gives the `queue` that was read into before. `beside` are other runs at the front of its
    code location, by the storage's ids, whose starts are estimated too.
    """
    assert stored.run  # noqa: S101 - as the docstring demands
    queue = QueuedRuns(coordinator.settings.code_location_limits) if queue is None else queue
    now = at_this_moment.read(instance, coordinator.settings, queue)
    if stored.storage_id not in queue:
        return None
    name = code_location_of(stored.run) or NO_CODE_LOCATION
    if queue.lane_of[stored.storage_id].code_location != name:  # its rows name another one, but its body decides
        queue.relocate({stored.storage_id: name})
    limits = now.state.settings.code_location_limits
    slots = slots_of(limits, name, stored.run.tags)
    if queue.lane_of[stored.storage_id].of.slots != slots:
        queue.learn(stored.storage_id, slots=slots)
    state = replace(
        now.state,
        queued=queue.counts(),
        queued_slots=queue.slots(),
        in_progress=_in_utc(instance, now.state.in_progress),
    )
    order = list(queue.in_order(name))
    before = next(place for place, run in enumerate(order) if run.storage_id == stored.storage_id)
    share, interval = now.share(name), coordinator.dequeue_interval_seconds
    facts = RunFacts(state, stored.run, stored.storage_id, name, before, share)
    held_by = [
        *blockers.of_the_daemon(facts, now.daemon, timedelta(seconds=interval)),
        *_code_server(instance, coordinator, facts, order[0]),
        *blockers.launch_hangs(facts, now.daemon.stored.hanging),
        *_of_the_queue(instance, queue, facts),
    ]
    estimates = start_estimates(instance, queue, facts, held_by=held_by, interval=interval, beside=beside)
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
        starts_within_seconds=None if held_by else interval,
        estimate=estimates.pop(stored.storage_id),
        held_by=held_by,
        notes=list(_notes(instance, now, name)),
        slots=slots if limits.slot else None,
        beside=estimates,
    )


def _in_utc(instance: DagsterInstance, in_progress: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs in progress; those that haven't started yet with the times of their last changes in UTC."""
    not_started = [record.storage_id for record in in_progress if record.start_time is None]
    with run_database(instance).connect() as connection:
        query = db.select(RunsTable.c.id, in_utc(connection, RunsTable.c.update_timestamp))
        changed = dict(of_runs(connection, query, not_started))
    return [
        record._replace(update_timestamp=utc(changed.get(record.storage_id, record.update_timestamp)))
        for record in in_progress
    ]


def _of_the_queue(instance: DagsterInstance, queue: QueuedRuns, facts: RunFacts) -> Iterator[Blocker]:
    """What holds the run whatever else is queued, and then what the runs ahead of it hold it by."""
    state, name = facts.state, facts.code_location
    checks = checks_of(instance, state)
    checks.load_pools([facts.run])
    more_slots = checks.missing_slots(facts.run)
    passes = name in let_through(state) and is_manual(facts.run)
    counted = [hold for hold in holds(state, name, slots=facts.slots) if not (passes and hold.kind == "breaker")]
    room = with_room_for_one(state, name, facts.run)
    has_own = any(hold.in_force for hold in counted)
    enough = _smallest_limit(instance, queue, facts, room, more_slots) if has_own else None
    held_by = [
        *(blockers.from_counts(facts, hold, enough) for hold in counted),
        *blockers.within_the_code_location(facts),
        *_from_dagsters_checks(instance, checks, facts),
    ]
    yield from held_by
    coming = coming_tick(instance, queue, room if held_by else state, more_slots)
    if not coming.starts(facts.storage_id):
        coming.checks.load_pools([facts.run])
        ahead = [
            *blockers.from_runs_ahead(facts, coming, later=bool(held_by)),
            *_from_dagsters_checks(instance, coming.checks, facts, coming, more_slots),
        ]
        kept_for = _holding_back(instance, queue, facts)
        yield from ahead or ([blockers.kept(*kept_for)] if kept_for else [blockers.not_looked_at(facts)])


def _holding_back(instance: DagsterInstance, queue: QueuedRuns, facts: RunFacts) -> tuple[str, str, int] | None:
    """The run for which slots are kept: its id, its code location and the slots that it takes; None if none is."""
    holding = (queue.get(of) for of in facts.state.holding_back if of != facts.storage_id)
    waiting = [of for of in holding if of and _waits_for_slots(facts.state, *of)]
    if not waiting:
        return None
    name, run = min(waiting, key=lambda of: of[0] != facts.code_location)
    with run_database(instance).connect() as connection:
        return run_ids(connection, [run.storage_id]).get(run.storage_id, ""), name, run.slots


def _waits_for_slots(state: QueueState, name: str, run: QueuedRun) -> bool:
    """Whether a run that takes more slots than are free would fit if enough of them were."""
    found = [*holds(state, name, slots=run.slots)]
    return bool(found) and all(hold.limit >= run.slots for hold in found)


def _smallest_limit(
    instance: DagsterInstance,
    queue: QueuedRuns,
    facts: RunFacts,
    room: QueueState,
    more_slots: Mapping[str, int],
) -> tuple[int, int] | None:
    """The smallest limit of its code location that lets the run start, found by working out the tick with it.

    Returns:
        The limit, and how many runs of the code location start before it; None if no number is known to do.
    """
    name, in_progress = facts.code_location, facts.state.in_progress_of[facts.code_location]
    if facts.before > TRIED:
        return None
    if limit_without_pause(facts.state, name).source is Source.TAG_LIMIT:
        room = without_tag_limits_on(room, name)
    most = in_progress + sum(run.slots for run in islice(queue.in_order(name), facts.before + 1))
    coming = coming_tick(instance, queue, with_limit(room, name, most), more_slots)
    starting = [run.queued for run in coming.selected if run.code_location == name]
    before = next((place for place, run in enumerate(starting) if run.storage_id == facts.storage_id), None)
    if before is None:
        return None
    enough = in_progress + sum(run.slots for run in starting[: before + 1])
    # A smaller limit can make a share smaller, so it is tried as well.
    is_enough = enough == most or coming_tick(instance, queue, with_limit(room, name, enough), more_slots).starts(
        facts.storage_id
    )
    return enough if is_enough else most, before


def _from_dagsters_checks(
    instance: DagsterInstance,
    checks: DagsterChecks,
    facts: RunFacts,
    coming: ComingTick | None = None,
    full_before: Container[str] = (),
) -> Iterator[Blocker]:
    """Tag limits and pools; with a coming tick, by what it starts before the run. Some pools were full before."""
    yield from blockers.from_tag_limits(facts, checks.full_tag_limits(facts.run), coming)
    for pool in checks.full_pools(facts.run):
        if coming and pool in full_before:
            yield blockers.pool_later(facts, pool, coming)
        else:
            stored = instance.event_log_storage.get_concurrency_info(pool)
            yield blockers.full_pool(facts, pool, stored, by_others=coming is not None)


def _code_server(
    instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator, facts: RunFacts, first: QueuedRun
) -> Iterator[Blocker]:
    """Its code server did not answer when the daemon last tried this run or the first one of its code location."""
    queue = coordinator.get_run_queue_config()
    if not queue.max_user_code_failure_retries:
        return
    with run_database(instance).connect() as connection:
        ids = {facts.run.run_id, *run_ids(connection, [first.storage_id]).values()}
    attempts = []
    for run_id in ids:
        events = instance.get_records_for_run(run_id, of_type=DagsterEventType.ENGINE_EVENT).records
        entries = [event.event_log_entry for event in events]
        failed = [entry.timestamp for entry in entries if entry.message.startswith(UNREACHED)]
        attempts += [(failed[-1], run_id, len(failed))] if failed else []
    if attempts:
        yield from blockers.code_server_down(facts, queue, *max(attempts))


def _notes(instance: DagsterInstance, now: Now, code_location: str) -> Iterator[str]:
    yield from now.state.live.unreadable
    if shadowed := shadowed_by_tag_limits(instance):
        yield str(shadowed)
    if now.daemon.stored.narrowed is False:
        yield (
            "this Dagster's daemon asks for the queue in a way that isn't known here, so it applies the limits as"
            " plain tag limits: shares, minimums, max_per_job, max_per_backfill and backfill_share don't apply"
        )
    if code_location == NO_CODE_LOCATION:
        yield "its code location is unknown, so of the limits only max_concurrent_runs and tag limits apply to it"
