"""Runs are given a priority while the daemon and others go on."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import pytest
from clt_queued_run_coordinator.store.tag_writing import write_priority
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.storage.runs.schema import RunTagsTable
from dagster._core.storage.tags import PRIORITY_TAG
from tests.in_process.interruption import Interruption
from tests.run_queue import A, RunQueue


@pytest.fixture
def another(stored_queue: RunQueue) -> Iterator[DagsterInstance]:
    """A second opening of the same database."""
    with DagsterInstance.from_ref(stored_queue.instance.get_ref()) as instance:
        yield instance


def rows(queue: RunQueue, run_id: str) -> list[str]:
    """The priorities in a run's rows."""
    query = RunTagsTable.select().where(RunTagsTable.c.run_id == run_id, RunTagsTable.c.key == PRIORITY_TAG)
    with queue.storage.connect() as connection:
        return [str(row["value"]) for row in connection.execute(query).mappings()]


def test_the_daemon_takes_runs_amid_the_statements_of_a_writer(
    stored_queue: RunQueue, another: DagsterInstance
) -> None:
    """Every run starts, once, whatever was written; what had left the queue before is not written to."""
    queue, daemon = stored_queue, RunQueue(another)
    for statement in count(1):
        run_ids = queue.queue(A, 2)
        interruption = Interruption(statement, daemon.tick_ids)
        with interruption.within():
            written = write_priority(queue.instance, run_ids, 5)
        queue.tick()
        for run_id in run_ids:
            assert queue.run(run_id).status is DagsterRunStatus.STARTING
            assert rows(queue, run_id) in ([], ["5"])
        assert sum(rows(queue, run_id) == ["5"] for run_id in run_ids) == written
        queue.end(A, 2)
        if not interruption.happened:
            break


def test_runs_are_given_a_priority_amid_the_statements_of_a_tick(
    stored_queue: RunQueue, another: DagsterInstance
) -> None:
    """Behind each of them until the run has left the queue: it starts at this tick in any case."""
    queue = stored_queue
    written = [1]
    for statement in count(1):
        (run_id,) = queue.queue(A)

        def write(run_id: str = run_id) -> None:
            written.append(write_priority(another, [run_id], 5))

        with Interruption(statement, write).within():
            assert queue.tick_ids() == [run_id]
        assert rows(queue, run_id) == ["5"] * written[-1]
        queue.end(A)
        if written[-1] == 0:
            break
    assert len(written) == statement + 1


def test_a_run_that_is_canceled_amid_the_statements_stays_canceled(
    stored_queue: RunQueue, another: DagsterInstance
) -> None:
    """Behind each of them once."""
    queue = stored_queue
    for statement in count(1):
        canceled, kept = queue.put(A, DagsterRunStatus.QUEUED, 2)
        interruption = Interruption(statement, partial(another.report_run_canceled, queue.run(canceled)))
        with interruption.within():
            write_priority(queue.instance, [canceled, kept], 5)
        assert queue.run(kept).tags[PRIORITY_TAG] == "5"
        if not interruption.happened:
            break
        assert queue.run(canceled).status is DagsterRunStatus.CANCELED


def test_a_tag_that_is_added_amid_the_statements_is_kept(stored_queue: RunQueue, another: DagsterInstance) -> None:
    """Behind each of them once."""
    queue = stored_queue
    for statement in count(1):
        (run_id,) = queue.put(A, DagsterRunStatus.QUEUED)
        interruption = Interruption(statement, partial(another.add_run_tags, run_id, {"team": "red"}))
        with interruption.within():
            write_priority(queue.instance, [run_id], 5)
        assert rows(queue, run_id) == ["5"]
        if not interruption.happened:
            break
        assert queue.run(run_id).tags["team"] == "red"


def test_of_two_writers_at_the_same_time_one_is_the_last(stored_queue: RunQueue, another: DagsterInstance) -> None:
    """Each run has one priority, the same in its body and its one row."""
    queue = stored_queue
    run_ids = queue.copy(queue.put(A, DagsterRunStatus.QUEUED)[0], 50)
    start = threading.Barrier(2)
    written: list[int] = []

    def write(instance: DagsterInstance, priority: int) -> None:
        start.wait()
        written.append(write_priority(instance, run_ids, priority))

    threads = [
        threading.Thread(target=write, args=[instance, priority])
        for instance, priority in ((queue.instance, 1), (another, 2))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written == [50, 50]
    (priority,) = {queue.run(run_id).tags[PRIORITY_TAG] for run_id in run_ids}
    assert [rows(queue, run_id) for run_id in run_ids] == [[priority]] * 50


def test_what_is_stored_is_what_dagster_would_store(stored_queue: RunQueue) -> None:
    """Compared with add_run_tags."""
    queue = stored_queue
    ours, dagsters = queue.queue(A, 2, priority=1)
    write_priority(queue.instance, [ours], 5)
    queue.instance.add_run_tags(dagsters, {PRIORITY_TAG: "5"})
    assert queue.run(ours).tags == queue.run(dagsters).tags
    assert rows(queue, ours) == rows(queue, dagsters)


def test_of_two_rows_that_differ_the_bodys_priority_counts(run_queue: Callable[..., RunQueue]) -> None:
    """It is the one that Dagster's UI shows and its own daemon sorts by."""
    queue = run_queue(max_concurrent_runs=1)
    queue.queue(A, 1, priority=5)
    (urgent,) = queue.queue(A, 1, priority=7)
    with queue.storage.connect() as connection:
        rows = RunTagsTable.c.run_id == urgent, RunTagsTable.c.key == PRIORITY_TAG
        connection.execute(RunTagsTable.delete().where(*rows))
        doubled = [{"run_id": urgent, "key": PRIORITY_TAG, "value": value} for value in ("1", "7")]
        connection.execute(RunTagsTable.insert(), doubled)
    assert queue.tick_ids() == [urgent]
