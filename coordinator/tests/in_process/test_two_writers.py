"""The daemon is not alone: others tag the same runs, and delete them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count

import pytest
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.store import transaction as transactions
from clt_queued_run_coordinator.store.tag_writing import write_tags
from clt_queued_run_coordinator.store.transaction import transaction
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from sqlalchemy.exc import DBAPIError
from tests.in_process.interruption import Interruption
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]


@pytest.fixture
def another(opened_twice: tuple[RunQueue, DagsterInstance]) -> DagsterInstance:
    """The second opening of the same database."""
    return opened_twice[1]


@pytest.fixture
def queue(opened_twice: tuple[RunQueue, DagsterInstance]) -> RunQueue:
    """The first opening of the same database."""
    return opened_twice[0]


@pytest.fixture
def opened_twice(stored_queue: RunQueue) -> Iterator[tuple[RunQueue, DagsterInstance]]:
    """A queue whose code location b is held, and a second opening of its database."""
    with DagsterInstance.from_ref(stored_queue.instance.get_ref()) as another:
        yield stored_queue, another


@pytest.mark.parametrize("tag_before", [None, B])
def test_a_writer_amid_the_statements_of_another_doubles_no_row(
    queue: RunQueue, another: DagsterInstance, tag_before: str | None
) -> None:
    """One is interrupted behind each of its statements while the other writes all of the same."""
    for statement in count(1):
        (run_id,) = queue.put(A, DagsterRunStatus.QUEUED, tag=tag_before)
        interruption = Interruption(statement, partial(write_tags, another, {run_id: A}))
        with interruption.within():
            write_tags(queue.instance, {run_id: A})
        assert queue.tag_rows(run_id) == [A]
        assert queue.run(run_id).tags[CLT_TAG_KEY] == A
        if not interruption.happened:
            break


def test_writers_at_the_same_time_double_no_row(queue: RunQueue, another: DagsterInstance) -> None:
    """Two threads, each with connections of its own, tag the same fifty runs at once."""
    run_ids = queue.copy(queue.put(A, DagsterRunStatus.QUEUED)[0], 50)
    start = threading.Barrier(2)
    raised: list[BaseException] = []

    def write(instance: DagsterInstance) -> None:
        try:
            start.wait()
            write_tags(instance, dict.fromkeys(run_ids, A))
        except BaseException as error:  # noqa: BLE001 - shown below
            raised.append(error)

    threads = [threading.Thread(target=write, args=[instance]) for instance in (queue.instance, another)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    assert [queue.tag_rows(run_id) for run_id in run_ids] == [[A]] * 50


def test_a_writer_that_is_suspended_holds_up_the_others_only_for_a_while(
    same_database: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL ends its transaction, and what it has written in it is not there."""
    monkeypatch.setattr(transactions, "SUSPENDED_SECONDS", 1)
    queue, another = same_database(), same_database().instance
    (run_id,) = queue.put(A, DagsterRunStatus.QUEUED)
    locked, ended = threading.Event(), threading.Event()

    def suspended() -> None:
        with suppress(DBAPIError), transaction(another) as connection:
            connection.execute(RunsTable.select().with_for_update())
            locked.set()
            ended.wait(60)
            connection.execute(RunsTable.update().values(status="CANCELED"))

    thread = threading.Thread(target=suspended)
    thread.start()
    locked.wait(60)
    try:
        write_tags(queue.instance, [run_id])
    finally:
        ended.set()
        thread.join()
    assert queue.tag_rows(run_id) == [A]
    assert queue.run(run_id).status is DagsterRunStatus.QUEUED


def test_runs_that_were_deleted_meanwhile_are_passed_over(queue: RunQueue) -> None:
    """The others are written, and no row is left of what is gone."""
    deleted, *run_ids = queue.put(A, DagsterRunStatus.QUEUED, 3)
    queue.instance.delete_run(deleted)
    write_tags(queue.instance, dict.fromkeys([deleted, *run_ids], A))
    assert [queue.tag_rows(run_id) for run_id in [deleted, *run_ids]] == [[], [A], [A]]


def test_a_run_deleted_amid_the_statements_of_a_writer_leaves_no_row(
    queue: RunQueue, another: DagsterInstance
) -> None:
    """Behind each of them once."""
    for statement in count(1):
        deleted, kept = queue.put(A, DagsterRunStatus.QUEUED, 2)
        interruption = Interruption(statement, partial(another.delete_run, deleted))
        with interruption.within():
            write_tags(queue.instance, {deleted: A, kept: A})
        assert queue.tag_rows(kept) == [A]
        if not interruption.happened:
            break


def test_a_run_deleted_amid_the_statements_of_a_tick_does_not_fail_it(
    queue: RunQueue, another: DagsterInstance
) -> None:
    """Untagged runs of b, which is held, vanish behind each statement until they are tagged; a's start always."""
    was_tagged = False
    for statement in count(1):
        queue.put(A, DagsterRunStatus.QUEUED)
        deleted, kept = queue.put(B, DagsterRunStatus.QUEUED, 2)

        def delete(run_id: str = deleted) -> None:
            nonlocal was_tagged
            was_tagged = bool(queue.tag_rows(run_id))
            another.delete_run(run_id)

        interruption = Interruption(statement, delete)
        with interruption.within():
            assert queue.tick() == {A: 1}
        queue.end(A)
        assert queue.tag_rows(kept) == [B]
        if was_tagged or not interruption.happened:
            break


def test_a_doubled_row_is_counted_once(run_queue: MakeRunQueue) -> None:
    """Rows that an older version doubled are there for good: runs are what counts."""
    queue = run_queue(code_location_limits={"locations": {A: 4}})
    _double_the_row(queue, queue.queue(A, 2))
    assert queue.tick() == {A: 2}
    queue.queue(A, 5)
    assert queue.tick() == {A: 2}
    assert queue.in_progress(A) == 4


def test_a_doubled_row_takes_no_share(run_queue: MakeRunQueue) -> None:
    """Two of four slots are taken, however often the runs in them are tagged."""
    queue = run_queue(max_concurrent_runs=4, code_location_limits={"sharing": "fair"})
    run_ids = queue.queue(A, 2)
    assert queue.tick() == {A: 2}
    _double_the_row(queue, run_ids)
    queue.queue(B, 4)
    assert queue.tick() == {B: 2}


def _double_the_row(queue: RunQueue, run_ids: list[str]) -> None:
    rows = [{"run_id": run_id, "key": CLT_TAG_KEY, "value": A} for run_id in run_ids]
    with queue.storage.connect() as connection:
        connection.execute(RunTagsTable.insert(), rows)
