"""A run's number is given when it is created, which says nothing of when it is queued."""

from collections.abc import Callable

from dagster import DagsterRun
from dagster._core.run_coordinator.base import SubmitRunContext
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]


def _submit(queue: RunQueue, run: DagsterRun) -> None:
    workspace: object = None
    queue.coordinator.submit_run(SubmitRunContext(run, workspace))  # type: ignore[arg-type]


def test_runs_that_are_queued_late_keep_the_share_of_their_code_location(run_queue: MakeRunQueue) -> None:
    """Runs of a are created amid b's flood and queued later: a gets two of four slots and keeps them."""
    queue = run_queue(max_concurrent_runs=4, code_location_limits={"sharing": "fair"})
    (run_of_b,) = queue.queue(B, 1)
    queue.copy(run_of_b, 29)
    late = [queue.create(A) for _ in range(16)]
    queue.copy(run_of_b, 30)
    assert queue.tick() == {B: 4}
    for round_number in range(8):
        for run in late[2 * round_number : 2 * round_number + 2]:
            _submit(queue, run)
        queue.end(B, min(2, queue.in_progress(B)))
        queue.end(A, queue.in_progress(A))
        queue.tick()
        assert queue.in_progress(A) == 2


def test_runs_that_are_queued_late_start_before_younger_ones(run_queue: MakeRunQueue) -> None:
    """Dagster's order within a priority is the one in which runs were created."""
    queue = run_queue(code_location_limits={"locations": {A: 1}})
    late = queue.create(A)
    first, second = queue.queue(A, 2)
    assert queue.tick_ids() == [first]
    assert queue.tick_ids() == []
    _submit(queue, late)
    queue.end(A)
    assert queue.tick_ids() == [late.run_id]
    queue.end(A)
    assert queue.tick_ids() == [second]
