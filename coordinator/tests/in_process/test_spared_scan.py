"""The daemon is shown the queued runs that may start, and reads nothing where there are none."""

from collections.abc import Callable
from typing import Any

import pytest
from clt_queued_run_coordinator.store import live
from dagster import DagsterInstance, DagsterRunStatus
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]


class Scans:
    """Counts how many times the queue was read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages = 0
        own = DagsterInstance.get_runs

        def get_runs(instance: DagsterInstance, filters: Any = None, *args: Any, **kwargs: Any) -> Any:
            if filters and filters.statuses == [DagsterRunStatus.QUEUED]:
                self.pages += 1
            return own(instance, filters, *args, **kwargs)

        monkeypatch.setattr(DagsterInstance, "get_runs", get_runs)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Scans:
    """Counts from here on."""
    return Scans(monkeypatch)


def test_a_saturated_queue_is_not_read(
    run_queue: MakeRunQueue, scans: Scans, caplog: pytest.LogCaptureFixture
) -> None:
    """Every code location with queued runs is at its limit; our own line tells the true numbers, once."""
    caplog.set_level("INFO", logger="dagster")
    queue = run_queue(max_concurrent_runs=20, code_location_limits={"default": 2})
    queue.queue(A, 6)
    queue.queue(B, 6)
    assert queue.tick() == {A: 2, B: 2}
    scans.pages = 0
    for _ in range(3):
        assert queue.tick() == {}
    assert scans.pages == 0
    lines = [line for line in caplog.messages if line.startswith("No queued run can start")]
    assert len(lines) == 1
    assert (
        "(code-location-a 2/2, code-location-b 2/2). 8 queued, 4 in progress, max_concurrent_runs 20." in lines[0]
    )


@pytest.mark.parametrize("max_concurrent_runs", [-1, 20])
def test_a_slot_that_becomes_free_is_filled_at_the_very_next_tick(
    run_queue: MakeRunQueue, max_concurrent_runs: int
) -> None:
    """Also without a total."""
    queue = run_queue(max_concurrent_runs=max_concurrent_runs, code_location_limits={"default": 2})
    queue.queue(A, 6)
    assert queue.tick() == {A: 2}
    for _ in range(3):
        assert queue.tick() == {}
        queue.end(A)
        assert queue.tick() == {A: 1}


def test_a_code_location_seen_for_the_first_time_starts_at_the_very_next_tick(run_queue: MakeRunQueue) -> None:
    """A saturated queue is counted anew at each tick."""
    queue = run_queue(max_concurrent_runs=20, code_location_limits={"default": 2})
    queue.queue(A, 6)
    queue.tick()
    assert queue.tick() == {}
    queue.queue("code-location-new")
    assert queue.tick() == {"code-location-new": 1}


def test_a_raised_limit_is_seen_at_the_next_tick(run_queue: MakeRunQueue) -> None:
    """Also out of a saturated queue."""
    queue = run_queue(max_concurrent_runs=20, code_location_limits={"default": 1})
    queue.queue(A, 5)
    queue.tick()
    assert queue.tick() == {}
    live.set_limit(queue.instance, A, 3)
    assert queue.tick() == {A: 2}


def test_paused_code_locations_spare_the_scan(run_queue: MakeRunQueue, scans: Scans) -> None:
    """With nothing in progress at all."""
    queue = run_queue(code_location_limits={"default": 5})
    queue.queue(A, 3)
    live.pause(queue.instance, A)
    assert queue.tick() == {}
    assert scans.pages == 0
    live.resume(queue.instance, A)
    assert queue.tick() == {A: 3}


def test_a_run_that_ends_during_the_tick_lets_none_start_above_the_total(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our count and the daemon's own; what starts then stays within every limit."""
    queue = run_queue(max_concurrent_runs=4, code_location_limits={"default": 2})
    queue.queue(A, 6)
    queue.queue(B, 6)
    assert queue.tick() == {A: 2, B: 2}
    queue.end(B)
    live.pause(queue.instance, B)
    own = queue.daemon._get_in_progress_run_records

    def ends_first(instance: DagsterInstance) -> Any:
        queue.end(A)
        return own(instance)

    monkeypatch.setattr(queue.daemon, "_get_in_progress_run_records", ends_first)
    queue.tick()
    assert queue.in_progress(A) <= 2
    assert queue.in_progress(A) + queue.in_progress(B) <= 4


def test_everybody_but_the_daemon_sees_the_true_number(run_queue: MakeRunQueue) -> None:
    """The webserver shows the configured total while the daemon is told that no slot is free."""
    queue = run_queue(max_concurrent_runs=20, code_location_limits={"default": 2})
    queue.queue(A, 6)
    queue.tick()
    assert queue.tick() == {}
    config = queue.instance.get_concurrency_config().run_queue_config
    assert config
    assert config.max_concurrent_runs == 20


def test_with_concurrency_runs_set_it_is_the_same(run_queue: MakeRunQueue) -> None:
    """The instance's own total replaces the coordinator's, and nothing else."""
    queue = run_queue({"runs": {"max_concurrent_runs": 9}}, code_location_limits={"default": 2})
    queue.queue(A, 6)
    assert queue.tick() == {A: 2}
    assert queue.tick() == {}
    queue.end(A)
    assert queue.tick() == {A: 1}


def test_a_saturated_queue_with_a_pool_is_filled_when_the_pool_has_room(run_queue: MakeRunQueue) -> None:
    """Pools ask for the configuration in the middle of a tick; that changes nothing."""
    queue = run_queue(
        {"pools": {"granularity": "run"}}, max_concurrent_runs=20, code_location_limits={"default": 2}
    )
    queue.instance.event_log_storage.set_concurrency_slots("database", 1)
    queue.queue(A, 4, pool="database")
    assert queue.tick() == {A: 1}
    assert queue.tick() == {}
    queue.end(A)
    assert queue.tick() == {A: 1}
