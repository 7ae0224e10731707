"""Where a run came from is the truth, whatever tag another coordinator or a user left on it."""

from collections.abc import Callable

import pytest
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]

in_both_orders = pytest.mark.parametrize("sharing", ["fifo", "fair"])


@in_both_orders
def test_queued_runs_with_the_tag_of_another_code_location_are_limited_as_their_own(
    run_queue: MakeRunQueue, sharing: str
) -> None:
    """The stock coordinator leaves a user's tag as it is: limit 1 of a, and 4 ran before."""
    queue = run_queue(max_concurrent_runs=8, code_location_limits={"locations": {A: 1, B: 2}, "sharing": sharing})
    disguised = queue.put(A, DagsterRunStatus.QUEUED, 4, tag=B)
    queue.queue(B, 3)
    assert queue.tick() == {A: 1, B: 2}
    assert queue.tick() == {}
    assert [queue.run(run_id).tags[CLT_TAG_KEY] for run_id in disguised] == [A] * 4
    assert [queue.tag_rows(run_id) for run_id in disguised] == [[A]] * 4


def test_queued_runs_with_the_tag_of_nobody_are_limited_as_their_own(run_queue: MakeRunQueue) -> None:
    """A value that names no code location at all has no limit."""
    queue = run_queue(code_location_limits={"locations": {A: 1}})
    disguised = queue.put(A, DagsterRunStatus.QUEUED, 3, tag="nobody")
    assert queue.tick() == {A: 1}
    assert [queue.tag_rows(run_id) for run_id in disguised] == [[A]] * 3


@in_both_orders
def test_a_run_in_progress_with_the_tag_of_another_code_location_counts_for_its_own(
    run_queue: MakeRunQueue, sharing: str
) -> None:
    """It uses up the limit of a, not that of b."""
    queue = run_queue(max_concurrent_runs=8, code_location_limits={"locations": {A: 1, B: 1}, "sharing": sharing})
    queue.put(A, DagsterRunStatus.STARTED, 1, tag=B)
    queue.queue(A, 2)
    queue.queue(B, 2)
    assert queue.tick() == {B: 1}
    assert queue.tick() == {}
