"""Several daemons on one database: one dequeues at a time, and no limit is exceeded, wherever one is suspended."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as db
from clt_queued_run_coordinator._dagster import IncompatibleDagsterError, KeyValueStoreTable
from clt_queued_run_coordinator.daemon import lease
from clt_queued_run_coordinator.daemon.lease import NotStartedError
from clt_queued_run_coordinator.daemon.seam import DaemonSeam
from clt_queued_run_coordinator.daemon.tick import Ticks
from clt_queued_run_coordinator.operate import now
from clt_queued_run_coordinator.store import database_clock, document
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster_postgres.utils import DagsterPostgresException
from tests.in_process.interruption import Interruption
from tests.run_queue import A, B, RunQueue, ephemeral_run_queue, postgresql_run_queue

LIMIT = 3
CONFIG = {"max_concurrent_runs": 50, "code_location_limits": {"default": LIMIT, "locations": {B: 50}}}
Open = Callable[..., RunQueue]


@pytest.fixture
def daemon(new_database: Callable[[], str]) -> Iterator[Open]:
    """Makes a daemon on one database, each time one that the others take for another process."""
    url = new_database()
    with ExitStack() as stack:

        def make(**config: Any) -> RunQueue:
            queue = stack.enter_context(postgresql_run_queue(url, {**CONFIG, **config}, {}))
            own = queue.coordinator._daemon_seam._lease
            own._process = own._process.replace('"id": "', f'"id": "{id(queue)}')
            return queue

        yield make


@pytest.fixture
def alone() -> Iterator[RunQueue]:
    """One daemon, on a database of its own in memory."""
    with ephemeral_run_queue(CONFIG, {}) as queue:
        yield queue


def expire(queue: RunQueue) -> None:
    """As if the lease had not been renewed for a while."""
    document_text = {lease.RENEWED_KEY: "2001-01-01T00:00:00.000000"}
    with queue.storage.connect() as connection:
        document.put(connection, document_text)


def suspended(queue: RunQueue) -> None:
    """Let a daemon renew its lease no more, as one that is suspended."""
    queue.coordinator._daemon_seam._lease._stopped.set()


def in_progress(queue: RunQueue, code_location: str = A) -> int:
    """How many runs of a code location are in progress."""
    return queue.in_progress(code_location)


def test_only_one_of_two_daemons_dequeues(daemon: Open) -> None:
    """The other one starts nothing, also of what the first one leaves, and says so to nobody's harm."""
    first, second = daemon(), daemon()
    first.queue(A, 9)
    assert first.tick() == {A: LIMIT}
    first.queue(B, 2)
    assert second.tick() == {}
    assert first.tick() == {B: 2}


def test_the_other_one_takes_over_as_soon_as_the_first_one_ends(daemon: Open) -> None:
    """Dagster disposes of the instance when its daemon ends."""
    first, second = daemon(), daemon()
    first.queue(A, 9)
    first.tick()
    first.coordinator.dispose()
    second.end(A)
    assert second.tick() == {A: 1}


def test_the_other_one_takes_over_from_one_that_is_gone(daemon: Open) -> None:
    """Killed: nobody renews the lease any more."""
    first, second = daemon(), daemon()
    first.queue(A, 9)
    first.tick()
    suspended(first)
    assert second.tick() == {}
    expire(second)
    second.end(A)
    assert second.tick() == {A: 1}
    second.end(A)
    assert first.tick() == {}
    assert second.tick() == {A: 1}


def test_nobody_waits_for_a_process_of_this_machine_that_was_killed(daemon: Open) -> None:
    """The next daemon goes on at once, before the lease has expired; not so while the process lives."""
    queue = daemon()
    ended = subprocess.Popen(["true"])
    ended.wait()
    queue.queue(A, 2)
    for number, started in ((os.getppid(), {}), (ended.pid, {A: 2})):
        among = json.dumps({"process": "another", "number": number, "among": lease._processes()})
        with queue.storage.connect() as connection:
            document.put(connection, {lease.KEY: among})
            now_there = connection.execute(db.select(database_clock.now(connection))).scalar_one()
            document.put(connection, {lease.RENEWED_KEY: now_there})
        assert queue.tick() == started


@pytest.mark.parametrize(
    ("stored", "renewed"),
    [
        ("", ""),
        (None, None),
        ('{"process": "gone", "tick": "1"}', None),
        ("[]", "soon"),
        ('{"process": 1}', "2026-11-30"),
        ('{"process": "gone", "tick": "1"}', "9999-12-31T00:00:00.000000"),
    ],
)
def test_whatever_is_stored_holds_up_nobody(alone: RunQueue, stored: str | None, renewed: str | None) -> None:
    """Written by hand, by another version, or in a backup from another time."""
    with alone.storage.connect() as connection:
        for key, text in {lease.KEY: stored, lease.RENEWED_KEY: renewed}.items():
            connection.execute(KeyValueStoreTable.insert().values(key=key, value=text))
    alone.queue(A, 9)
    assert now.read(alone.instance, alone.coordinator.settings).state.queued == {A: 9}
    assert alone.tick() == {A: LIMIT}


def test_a_restarted_daemon_of_the_same_process_goes_on_at_once(same_database: Open) -> None:
    """A new instance and a new coordinator, while the old ones were never disposed of."""
    first, second = same_database(**CONFIG), same_database(**CONFIG)
    first.queue(A, 2)
    assert first.tick() == {A: 2}
    second.queue(A, 2)
    assert second.tick() == {A: 1}


def test_no_limit_is_exceeded_wherever_a_tick_is_suspended(daemon: Open) -> None:
    """Behind each statement of a tick in turn: meanwhile another daemon takes over and starts what it may."""
    first, second = daemon(), daemon()
    suspended(first)
    suspended(second)
    starts = 0
    for statement in count(1):
        expire(first)
        first.queue(A, LIMIT)

        def take_over() -> None:
            expire(second)
            with suppress(NotStartedError):
                second.tick()

        interruption = Interruption(statement, take_over)
        with interruption.within(), suppress(NotStartedError):
            first.tick()
        assert in_progress(first) <= LIMIT, statement
        if not interruption.happened:
            break
        expire(second)
        second.tick()
        assert in_progress(first) == LIMIT
        launched = [run.run_id for queue in (first, second) for run in queue.launcher.queue()]
        assert len(launched) == len(set(launched)), "no run is launched twice"
        starts += LIMIT
        first.end(A, LIMIT)
    assert starts > 50, "many statements, and each time all slots were used"


def test_two_daemons_that_take_the_lease_from_each_other_all_the_time(
    daemon: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both tick at once, a hundred times, with four threads each, and neither waits for a lease to expire."""
    monkeypatch.setattr(lease, "SECONDS", -1.0)
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 3600.0)
    options = {"dequeue_use_threads": True, "dequeue_num_workers": 4}
    daemons = [daemon(**options), daemon(**options)]
    begin = threading.Barrier(2)

    def tick(queue: RunQueue) -> None:
        begin.wait()
        with suppress(NotStartedError):
            queue.tick()

    for _ in range(100):
        daemons[0].queue(A, 2)
        both = [threading.Thread(target=tick, args=[queue]) for queue in daemons]
        for each in both:
            each.start()
        for each in both:
            each.join()
        assert in_progress(daemons[0]) <= LIMIT
        daemons[0].end(A, 2)
    launched = [run.run_id for queue in daemons for run in queue.launcher.queue()]
    assert len(launched) == len(set(launched))
    assert len(launched) > LIMIT


def test_what_is_left_of_a_tick_that_failed_is_not_started_by_the_next_one(daemon: Open) -> None:
    """Dagster's threads go on with it, while the next tick counts without it."""
    queue = daemon()
    old = queue.queue(A, LIMIT)
    with mock.patch.object(queue.daemon, "_dequeue_runs_iter", return_value=iter(())):
        assert queue.tick_ids() == []  # chosen, and still in the hands of threads
    new = queue.queue(A, LIMIT, priority=1)
    assert queue.tick_ids() == new
    config = queue.instance.get_concurrency_config()
    run = queue.run(old[0])
    assert not queue.daemon._dequeue_run(queue.instance, mock.Mock(), run, config, None)
    assert queue.run(old[0]).status is DagsterRunStatus.QUEUED
    assert in_progress(queue) == LIMIT


def test_a_run_that_was_canceled_meanwhile_stays_so_and_the_others_start(daemon: Open) -> None:
    """Between the daemon's last look and the start. Dagster by itself would start it."""
    queue = daemon()
    canceled, *others = queue.queue(A, LIMIT)
    own = SqlRunStorage.handle_run_event

    def cancel_first(storage: SqlRunStorage, run_id: str, event: DagsterEvent, *args: Any, **kwargs: Any) -> None:
        if run_id == canceled and event.event_type is DagsterEventType.PIPELINE_STARTING:
            pytest.fail("it was started")
        own(storage, run_id, event, *args, **kwargs)

    store = queue.instance.event_log_storage.store_event

    def cancel(event: Any) -> None:
        store(event)
        is_start = event.dagster_event and event.dagster_event.event_type is DagsterEventType.PIPELINE_STARTING
        if is_start and event.run_id == canceled:
            queue.instance.report_run_canceled(queue.run(canceled))

    with (
        mock.patch.object(SqlRunStorage, "handle_run_event", cancel_first),
        mock.patch.object(queue.instance.event_log_storage, "store_event", cancel),
        pytest.raises(NotStartedError, match="left the queue"),
    ):
        queue.tick()
    assert queue.run(canceled).status is DagsterRunStatus.CANCELED
    assert sorted(queue.tick_ids()) == sorted(others)


def test_nobody_else_is_hindered(daemon: Open) -> None:
    """A run that passes by every coordinator starts in the daemon's process too: a retry of a backfill, a test."""
    queue = daemon()
    queue.tick()
    run = queue.create(A)
    event = DagsterEvent(event_type_value=DagsterEventType.PIPELINE_STARTING.value, job_name=run.job_name)
    queue.instance.report_dagster_event(event, run_id=run.run_id)
    assert queue.run(run.run_id).status is DagsterRunStatus.STARTING


def test_another_instance_sees_who_dequeues(daemon: Open) -> None:
    """For `status`, metrics and the page."""
    queue = daemon()
    with DagsterInstance.from_ref(queue.instance.get_ref()) as another:
        assert now.read(another, queue.coordinator.settings).daemon.leader is None
        queue.tick()
        leader = now.read(another, queue.coordinator.settings).daemon.leader
    assert leader
    assert leader.renewed_at
    assert "process" in leader.process


def test_a_run_that_waits_in_the_queue_is_the_only_one_that_starts(daemon: Open) -> None:
    """The status in the storage decides, not the one that somebody saw before."""
    queue = daemon()
    (run_id,) = queue.queue(A)
    queue.tick()
    tick = queue.coordinator._daemon_seam._lease.tick
    with pytest.raises(NotStartedError, match="left the queue"):
        queue.coordinator._daemon_seam._lease.start(queue.instance, run_id, tick)
    assert queue.instance.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.STARTING])) == 1


def test_a_tick_that_fails_is_not_one_that_hangs(alone: RunQueue) -> None:
    """While the database is away each tick fails at once. The daemon needs no end and no new begin for that."""
    alone.tick()
    own = alone.coordinator._daemon_seam._lease
    own._sign_of_life = 0.0
    with (
        mock.patch.object(alone.storage, "connect", side_effect=DagsterPostgresException),
        pytest.raises(DagsterPostgresException),
    ):
        alone.tick()
    assert own._sign_of_life


def test_a_standby_waits_for_the_database_too(alone: RunQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster has its own error for a database that could not be reached after some tries."""
    monkeypatch.setattr(lease, "STANDBY_SECONDS", 0.0)
    connect = alone.storage.connect
    answers = iter([DagsterPostgresException("too many retries for DB connection")])

    def reach() -> Any:
        for error in answers:
            raise error
        return connect()

    with mock.patch.object(alone.storage, "connect", reach):
        alone.coordinator._daemon_seam.wait_to_lead(alone.instance)
    assert alone.coordinator._daemon_seam._lease.tick


def test_what_another_daemon_may_have_changed_is_read_anew_also_after_a_tick_that_failed(alone: RunQueue) -> None:
    """It failed after it had taken the lease from the other one, so the next one seems to continue it."""
    alone.tick()
    before = alone.coordinator._daemon_seam._ticks
    with alone.storage.connect() as connection:
        document.put(connection, {lease.KEY: '{"process": "another", "tick": "1"}', lease.RENEWED_KEY: ""})
    failing = mock.patch.object(DaemonSeam, "_listen_to", side_effect=RuntimeError("no launcher"))
    with failing, pytest.raises(RuntimeError):
        alone.tick()
    alone.tick()
    assert alone.coordinator._daemon_seam._ticks is not before


def test_what_was_chosen_before_starts_where_the_daemon_then_reads_its_whole_queue(alone: RunQueue) -> None:
    """Such a run didn't start in the tick that chose it, and the daemon chooses it by itself in a later one."""
    chosen = alone.queue(A, 2)
    with mock.patch.object(alone.daemon, "_dequeue_runs_iter", return_value=iter(())):
        assert alone.tick_ids() == []
    with mock.patch.object(Ticks, "offer", side_effect=IncompatibleDagsterError("another counter")):
        assert alone.tick_ids() == chosen


@pytest.mark.parametrize("stderr", [None, object()])
def test_the_lease_is_kept_where_standard_error_is_no_file(stderr: object) -> None:
    """A program may have put something of its own in its place. Only the stacks can't be written then."""
    own = lease.Lease(1, logging.getLogger())
    own._is_watched = True
    with mock.patch.object(sys, "stderr", stderr):
        own._end_process_unless_it_goes_on(60)
