"""Runs that the benchmarks make by copying."""

from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.copies import LASTED, add_finished_runs, copy_runs, let_end
from benchmarks.instances import open_queue, postgresql_storage, sqlite_storage, write_home
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus, RunsFilter
from tests.run_queue import A, B, RunQueue


def _finished(queue: RunQueue) -> None:
    add_finished_runs(queue, [A, B], 5, lambda *_: None)
    records = queue.instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.SUCCESS]), ascending=True)
    assert len(records) == 5
    names = [record.dagster_run.tags[CLT_TAG_KEY] for record in records]
    assert names == [A, B, A, B, A]
    for record in records:
        run = record.dagster_run
        assert run.remote_job_origin
        assert run.remote_job_origin.location_name == run.tags[CLT_TAG_KEY]
        assert queue.instance.get_runs(RunsFilter(run_ids=[run.run_id], tags={"team": run.tags["team"]}))
        assert record.start_time
        assert record.end_time == pytest.approx(record.start_time + LASTED)
        assert record.update_timestamp.timestamp() == pytest.approx(record.end_time, abs=1)


def test_finished_runs_on_sqlite_are_as_real_ones(tmp_path: Path) -> None:
    """With tags, origin and the times of their end."""
    queue = open_queue(write_home(tmp_path / "home", "clt", sqlite_storage(tmp_path / "sqlite")))
    _finished(queue)
    queue.instance.dispose()


def test_finished_runs_on_postgresql_are_as_real_ones(tmp_path: Path, new_database: Callable[[], str]) -> None:
    """With tags, origin and the times of their end."""
    queue = open_queue(write_home(tmp_path / "home", "clt", postgresql_storage(new_database())))
    _finished(queue)
    queue.instance.dispose()


def test_a_started_run_ends_and_a_new_one_is_queued_behind_the_others(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    """So each tick of a benchmark finds the same."""
    limits = {"code_location_limits": {"default": 1}}
    queue = open_queue(write_home(tmp_path / "home", "clt", postgresql_storage(new_database()), limits))
    copy_runs(queue.instance, queue.put(A, DagsterRunStatus.QUEUED, tag=A), 2)
    ended = []
    for _ in range(2):
        started = queue.tick_ids()
        let_end(queue.instance, started, queue_again=True)
        ended += started
        assert (len(started), queue.queued(A), queue.in_progress(A)) == (1, 3, 0)
    assert [queue.run(run_id).status for run_id in ended] == [DagsterRunStatus.SUCCESS] * 2
    let_end(queue.instance, queue.tick_ids(), queue_again=False)
    assert (queue.queued(A), queue.in_progress(A)) == (2, 0)
    queue.instance.dispose()
