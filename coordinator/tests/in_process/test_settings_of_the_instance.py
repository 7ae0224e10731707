"""What holds in ticks beside `concurrency.runs` of the instance; `test_concurrency_runs` has what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from clt_queued_run_coordinator.store import live
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]
C = "code-location-c"
DATABASE = {"key": "database", "limit": 1}


@pytest.mark.parametrize("tag_limits", [[], None, [DATABASE]])
def test_live_changes_hold_beside_tag_limits_of_the_instance(run_queue: MakeRunQueue, tag_limits: Any) -> None:
    """With nothing of ours configured nothing is refused, and then a pause must hold all the same."""
    queue = run_queue({"runs": {"tag_concurrency_limits": tag_limits}})
    live.pause(queue.instance, A)
    live.set_limit(queue.instance, B, 1)
    queue.queue(A, 3)
    queue.queue(B, 3)
    assert queue.tick() == {B: 1}
    live.resume(queue.instance, A)
    assert queue.tick() == {A: 3}


@on_one_storage
def test_tag_limits_of_the_instance_hold_beside_live_changes(run_queue: MakeRunQueue) -> None:
    """A limit on another tag is none of ours, and is kept from nothing."""
    queue = run_queue({"runs": {"tag_concurrency_limits": [DATABASE]}})
    live.set_limit(queue.instance, B, 2)
    queue.queue(B, 3)
    queue.queue(C, 3, tags={"database": "yes"})
    assert queue.tick() == {B: 2, C: 1}


@on_one_storage
@pytest.mark.parametrize("sharing", ["fifo", "fair"])
def test_the_total_can_be_given_in_concurrency_runs_alone(run_queue: MakeRunQueue, sharing: str) -> None:
    """Where Dagster's own pages put it."""
    queue = run_queue(
        {"runs": {"max_concurrent_runs": 3}}, code_location_limits={"default": 2, "sharing": sharing}
    )
    queue.queue(A, 4)
    queue.queue(B, 4)
    assert queue.tick() == {A: 2, B: 1}
    queue.end(A)
    queue.tick()
    assert queue.in_progress(A) + queue.in_progress(B) == 3


@on_one_storage
def test_without_a_total_in_concurrency_runs_there_is_none(run_queue: MakeRunQueue) -> None:
    """-1 there replaces the coordinator's own total too."""
    queue = run_queue(
        {"runs": {"max_concurrent_runs": -1}}, max_concurrent_runs=2, code_location_limits={"default": 3}
    )
    queue.queue(A, 4)
    queue.queue(B, 4)
    assert queue.tick() == {A: 3, B: 3}


@pytest.mark.parametrize(("sharing", "total"), [("fifo", 9), ("fair", 9), ("fifo", -1)])
def test_a_saturated_queue_is_not_read_with_the_total_in_concurrency_runs(
    run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture, sharing: str, total: int
) -> None:
    """Dagster's own line, which comes with the first runs that the daemon gets to see, stays away."""
    queue = run_queue(
        {"runs": {"max_concurrent_runs": total}}, code_location_limits={"default": 2, "sharing": sharing}
    )
    queue.queue(A, 6)
    queue.queue(B, 6)
    assert queue.tick() == {A: 2, B: 2}
    caplog.set_level("INFO", logger="dagster")
    caplog.clear()
    assert queue.tick() == {}
    assert not [line for line in caplog.messages if "Priority sorting" in line]
    assert not [line for line in caplog.messages if "Maximum is" in line]
    queue.end(A)
    assert queue.tick() == {A: 1}
    assert [line for line in caplog.messages if "Priority sorting" in line]
