"""Reads the facts about a queued run, and about all that may block it, from the instance. Writes nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    IN_PROGRESS_STATUSES,
    QUEUE_DAEMON,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRecord,
    RunsFilter,
    RunsTable,
    deserialize_value,
    instance_concurrency_settings,
    run_database,
    with_read_only_pools,
)
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.daemon import last_tick
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.daemon.candidates import CANDIDATES_PER_LOCATION
from clt_queued_run_coordinator.daemon.dagster_checks import DagsterChecks, pools_of
from clt_queued_run_coordinator.daemon.state import DaemonState
from clt_queued_run_coordinator.operate import counts as run_counts
from clt_queued_run_coordinator.operate.counts import Count, Counts
from clt_queued_run_coordinator.operate.front import FrontOfQueue, priority_in
from clt_queued_run_coordinator.operate.queue_state import QueueState
from clt_queued_run_coordinator.policy import queue_state
from clt_queued_run_coordinator.policy.in_force import limits_of
from clt_queued_run_coordinator.policy.job_and_backfill_limits import lane_key
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION, QueuedRun
from clt_queued_run_coordinator.policy.tag_limits import other_tag_limits
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.code_location import code_location_of
from clt_queued_run_coordinator.store.rows import run_ids, utc

UNREACHED = "Run dequeue failed to reach the user code server"
"""The daemon logs a message that begins like this to a run whose code server did not answer."""


@dataclass(frozen=True)
class StoredRun:
    """A run from the run storage.

    Attributes:
        number: Its number in the storage.
        run: The run, with its current status.
        created: When it was created, in UTC.
        started: When it started, in UTC; None if it hasn't.
        ended: When it ended, in UTC; None if it hasn't.
    """

    number: int
    run: DagsterRun
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True)
class FullPool:
    """A pool that has no free slot for the run.

    Attributes:
        name: Its name.
        slots: How many slots it has.
        steps: The run id and step of each claimed or assigned slot.
        runs: The runs in progress that need the pool, whether or not they have claimed their slots yet.
    """

    name: str
    slots: int
    steps: Sequence[tuple[str, str]]
    runs: Sequence[RunRecord]


@dataclass(frozen=True)
class Unreached:
    """The daemon's last failed attempt to reach the code server.

    Attributes:
        at: When, in UTC.
        run_id: The run that it tried to start.
        attempts: How many attempts with that run have failed so far.
    """

    at: datetime
    run_id: str
    attempts: int


@dataclass(frozen=True)
class RunFacts:
    """All that may block a queued run.

    Attributes:
        now: The current time, in UTC.
        stored: The run.
        code_location: Its code location; `NO_CODE_LOCATION` if unknown.
        queued: Its place in the order of the queue.
        before: How many queued runs of its code location go first.
        of: How many queued runs its code location has, including this one.
        queued_in_all: How many runs of all code locations are queued.
        tick: What a tick would work with now, with the runs in progress. It may count only the queued runs of this
            run's code location.
        daemon: What the daemon stored in its last ticks.
        front: The front of the queue, if it had to be read.
        share: Its code location's share of the slots; None if slots are not shared.
        used: The slot-seconds that its code location used lately; None if slots are not shared.
        full_tag_limits: Dagster's own tag limits that block it.
        full_pools: The pools that block it.
        heartbeat: The last heartbeat of the daemon that reads the queue, in UTC; None if there was none.
        last_tick: When that daemon last stored that it had read the queue, in UTC; None if it never did.
        daemon_errors: The errors of its last ticks.
        unreached: The daemon's last attempt to reach the code server, if it failed.
        interval: `dequeue_interval_seconds`.
        retries: `max_user_code_failure_retries`.
        retry_delay: `user_code_failure_retry_delay`, in seconds.
    """

    now: datetime
    stored: StoredRun
    code_location: str
    queued: QueuedRun
    before: int
    of: int
    queued_in_all: int
    tick: queue_state.QueueState
    daemon: DaemonState
    front: FrontOfQueue
    share: int | None
    used: float | None
    full_tag_limits: Sequence[Mapping[str, Any]]
    full_pools: Sequence[FullPool]
    heartbeat: datetime | None
    last_tick: datetime | None
    daemon_errors: Sequence[str]
    unreached: Unreached | None
    interval: int
    retries: int
    retry_delay: int

    @property
    def run(self) -> DagsterRun:
        """The run."""
        return self.stored.run

    @property
    def in_progress(self) -> Sequence[RunRecord]:
        """The runs in progress."""
        return self.tick.in_progress

    def in_progress_of(self, *code_locations: str) -> list[RunRecord]:
        """The runs in progress of some code locations."""
        return [run for run in self.in_progress if code_location_of(run.dagster_run) in code_locations]


def find_runs(instance: DagsterInstance, run_id: str) -> list[StoredRun]:
    """The run with this id or, if there is none, up to three runs whose ids begin with it.

    Args:
        instance: The instance.
        run_id: The id, or its first characters.
    """
    columns = (
        *(RunsTable.c.id, RunsTable.c.run_id, RunsTable.c.run_body, RunsTable.c.status),
        *(RunsTable.c.create_timestamp, RunsTable.c.start_time, RunsTable.c.end_time),
    )
    the_one = db.select(*columns).where(RunsTable.c.run_id == run_id)
    # The range lets the database use its index with any collation; the prefix then drops the few others in it.
    between = db.and_(RunsTable.c.run_id >= run_id, RunsTable.c.run_id <= run_id + "z" * 36)
    beginning = RunsTable.c.run_id.startswith(run_id, autoescape=True)
    several = db.select(*columns).where(between, beginning).order_by(RunsTable.c.run_id).limit(3)
    with run_database(instance).connect() as connection:
        rows = connection.execute(the_one).all() or (connection.execute(several).all() if run_id else [])
    return [
        StoredRun(
            number=number,
            run=deserialize_value(body, DagsterRun).with_status(DagsterRunStatus(status)),
            created=utc(created),
            started=utc_time(started),
            ended=utc_time(ended),
        )
        for number, _, body, status, created, started, ended in rows
    ]


def read(
    instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator, stored: StoredRun, now: datetime
) -> RunFacts:
    """Read all that may block a queued run.

    Args:
        instance: The instance.
        coordinator: Its coordinator.
        stored: The run.
        now: The current time, in UTC.
    """
    settings = coordinator.settings.as_replaced_by(instance_concurrency_settings(instance))
    code_location = code_location_of(stored.run) or NO_CODE_LOCATION
    with run_counts.reading(instance) as connection:
        front = FrontOfQueue(connection, lane_key(settings.code_location_limits))
        changes = live.read(connection)
        daemon = daemon_state.read(connection)
        read_at = last_tick.read(connection)
        queued = QueuedRun(priority_in(connection, stored.run.run_id), stored.number)
        before, of, first = front.place(connection, code_location, queued)
        first_id = run_ids(connection, [first.storage_id]).get(first.storage_id, stored.run.run_id)
        if settings.is_fair:  # shares are of all that is queued
            front.read(connection, CANDIDATES_PER_LOCATION)
    in_progress = instance.get_run_records(RunsFilter(statuses=IN_PROGRESS_STATUSES))
    counts = front.counts() if front.is_read else {code_location: of}
    tick = queue_state.QueueState(settings, changes, counts, in_progress, daemon.usage)
    state = _state(tick, daemon)
    checks = dagster_checks(instance, tick)
    checks.load_pools([stored.run])
    heartbeat = instance.get_daemon_heartbeats().get(QUEUE_DAEMON)
    queue = coordinator.get_run_queue_config()
    retries = queue.max_user_code_failure_retries
    return RunFacts(
        now=now,
        stored=stored,
        code_location=code_location,
        queued=queued,
        before=before,
        of=max(of, before + 1),
        queued_in_all=front.total,
        tick=tick,
        daemon=daemon,
        front=front,
        share=state.shares().get(code_location),
        used=used.of(code_location) if (used := state.used(now)) else None,
        full_tag_limits=checks.full_tag_limits(stored.run),
        full_pools=[full_pool(instance, name, in_progress) for name in checks.full_pools(stored.run)],
        heartbeat=utc_time(heartbeat.timestamp) if heartbeat else None,
        last_tick=utc_time(read_at.at) if read_at else None,
        daemon_errors=[error.message.strip() for error in (heartbeat.errors or ())] if heartbeat else [],
        unreached=_unreached(instance, {stored.run.run_id, first_id}) if retries else None,
        interval=coordinator.dequeue_interval_seconds,
        retries=retries,
        retry_delay=queue.user_code_failure_retry_delay,
    )


def _state(tick: queue_state.QueueState, daemon: DaemonState) -> QueueState:
    """The queue, for working out the shares."""
    of_each = {name: Count(queued=queued) for name, queued in tick.queued.items() if name != NO_CODE_LOCATION}
    for name, runs in tick.in_progress_of.items():
        if name != NO_CODE_LOCATION:
            of_each.setdefault(name, Count()).in_progress = runs
    counts = Counts(of_each, without_code_location=tick.in_progress_of[NO_CODE_LOCATION])
    names = {*tick.settings.code_location_limits.named_locations, *of_each}
    return QueueState(tick.settings, counts, tick.live, limits_of(names, tick.settings, tick.live), daemon)


def dagster_checks(instance: DagsterInstance, tick: queue_state.QueueState) -> DagsterChecks:
    """Dagster's own checks against the runs in progress, without their writes."""
    limits = other_tag_limits(tick.settings.tag_concurrency_limits)
    return DagsterChecks(with_read_only_pools(instance), limits, tick.in_progress)


def utc_time(timestamp: float | None) -> datetime | None:
    """A time in UTC, from seconds since the epoch."""
    return None if timestamp is None else datetime.fromtimestamp(timestamp, timezone.utc)


def full_pool(instance: DagsterInstance, name: str, in_progress: Sequence[RunRecord]) -> FullPool:
    """A full pool and what holds its slots."""
    info = instance.event_log_storage.get_concurrency_info(name)
    claimed = [(slot.run_id, slot.step_key) for slot in info.claimed_slots]
    given = [(step.run_id, step.step_key) for step in info.pending_steps if step.assigned_timestamp is not None]
    return FullPool(
        name=name,
        slots=info.slot_count,
        steps=[*claimed, *(step for step in given if step not in claimed)],
        runs=[record for record in in_progress if name in pools_of(record.dagster_run)],
    )


def _unreached(instance: DagsterInstance, run_ids: Collection[str]) -> Unreached | None:
    """The last failed attempt to start one of these runs, from their event logs."""
    attempts = []
    for run_id in run_ids:
        events = instance.get_records_for_run(run_id, of_type=DagsterEventType.ENGINE_EVENT).records
        failed = [event for event in events if event.event_log_entry.message.startswith(UNREACHED)]
        if failed:
            at = datetime.fromtimestamp(failed[-1].event_log_entry.timestamp, timezone.utc)
            attempts.append(Unreached(at, run_id, len(failed)))
    return max(attempts, key=lambda attempt: attempt.at, default=None)
