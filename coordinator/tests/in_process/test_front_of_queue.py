"""The front of the queue is what the daemon's order of it begins with, and a run's place is its place there."""

from collections.abc import Callable
from itertools import islice

import pytest
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.operate import counts, front
from clt_queued_run_coordinator.operate.front import FrontOfQueue, priority_in
from clt_queued_run_coordinator.store.rows import run_ids
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunTagsTable
from dagster._core.storage.tags import PRIORITY_TAG, REPOSITORY_LABEL_TAG
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]
ODD = ["with space/100% 'quoted' \"_\\ é", "x@code-location-a", "CODE-LOCATION-A", "n" * 300]


def same(queue: RunQueue, most: int) -> None:
    """Assert that what is read of the front is what the daemon's reading of the whole queue begins with."""
    with counts.reading(queue.instance) as connection:
        whole = QueuedRuns()
        whole.refresh(connection)
        first = FrontOfQueue(connection)
        first.read(connection, most)
        assert first.counts() == whole.counts()
        assert first.total == len(whole)
        for name in whole.counts():
            in_order = list(whole.in_order(name))
            assert list(islice(first.in_order(name), most)) == in_order[:most]
            ids = run_ids(connection, [run.storage_id for run in in_order])
            for before, run in enumerate(in_order):
                assert priority_in(connection, ids[run.storage_id]) == run.priority
                anew = FrontOfQueue(connection)
                assert anew.place(connection, name, run) == (before, len(in_order), in_order[0])


def test_the_front_of_a_queue(run_queue: MakeRunQueue) -> None:
    """With priorities, some of them no numbers, names that are alike, and finished runs before."""
    queue = run_queue(code_location_limits={})
    queue.put(A, DagsterRunStatus.SUCCESS, 5)
    for name in (A, B, *ODD):
        queue.queue(name, 3)
        queue.queue(name, 2, priority=7)
        queue.queue(name, 1, priority=-1)
        for text in ("high", " 3 ", "1_0", ""):
            queue.queue(name, tags={PRIORITY_TAG: text})
    same(queue, 4)


def test_runs_that_dagster_has_not_labelled(run_queue: MakeRunQueue) -> None:
    """Their bodies tell where they belong."""
    queue = run_queue(code_location_limits={})
    queue.queue(A, 2)
    unlabelled = queue.queue(A, 2, priority=1)
    with queue.storage.connect() as connection:
        connection.execute(
            RunTagsTable.delete().where(
                RunTagsTable.c.run_id.in_(unlabelled), RunTagsTable.c.key == REPOSITORY_LABEL_TAG
            )
        )
        whole = QueuedRuns()
        whole.refresh(connection)
        first = FrontOfQueue(connection)
        first.read(connection, 3)
        assert first.counts() == whole.counts() == {A: 4}
        assert list(islice(first.in_order(A), 3)) == list(whole.in_order(A))[:3]
        run = next(whole.in_order(A))
        assert FrontOfQueue(connection).place(connection, A, run) == (0, 4, run)


def test_tags_that_are_older_than_those_of_the_oldest_runs(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an import in some other order: each run's are looked up."""
    monkeypatch.setattr(front, "BEFORE_THEM", 0)
    monkeypatch.setattr(front, "OLDEST", 1)
    queue = run_queue(code_location_limits={})
    oldest, *_ = queue.queue(A, 3)
    with queue.storage.connect() as connection:
        of_the_oldest = RunTagsTable.update().where(RunTagsTable.c.run_id == oldest)
        connection.execute(of_the_oldest.values(id=RunTagsTable.c.id + 1000))
        first = FrontOfQueue(connection)
        first.read(connection, 2)
        assert first.counts() == {A: 3}
        assert len(list(first.in_order(A))) == 2


def test_a_tag_that_is_there_twice(run_queue: MakeRunQueue) -> None:
    """A run counts once."""
    queue = run_queue(code_location_limits={})
    run_id, _ = queue.queue(A, 2)
    with queue.storage.connect() as connection:
        label = {"run_id": run_id, "key": REPOSITORY_LABEL_TAG, "value": f"repository@{A}"}
        connection.execute(RunTagsTable.insert(), [label])
        first = FrontOfQueue(connection)
        first.read(connection, 5)
        assert len(list(first.in_order(A))) == 2
