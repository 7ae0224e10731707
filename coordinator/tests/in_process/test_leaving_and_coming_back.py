"""Runs that leave the queue between ticks are forgotten; runs that come back hold up nobody, and start again."""

from collections.abc import Callable

import pytest
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]

in_both_orders = pytest.mark.parametrize("sharing", ["fifo", "fair"])


@on_one_storage
@in_both_orders
@pytest.mark.parametrize("leave", ["deleted", "canceled"])
def test_runs_that_left_the_queue_are_forgotten(run_queue: MakeRunQueue, sharing: str, leave: str) -> None:
    """They were seen, and blocked, in earlier ticks; a run that comes after them starts at once."""
    queue = run_queue(
        max_concurrent_runs=3,
        tag_concurrency_limits=[{"key": "held", "limit": 0}],
        code_location_limits={"default": 2, "sharing": sharing},
    )
    held = queue.queue(A, 3, tags={"held": "yes"})
    for _ in range(3):
        assert queue.tick() == {}
    for run_id in held:
        if leave == "deleted":
            queue.instance.delete_run(run_id)
        else:
            queue.instance.report_run_canceled(queue.run(run_id))
    started = queue.queue(A, 2)
    assert queue.tick_ids() == started
    queue.queue(B, 5)
    assert queue.tick() == {B: 1}


@pytest.mark.parametrize(("sharing", "delay"), [("fifo", 0), ("fifo", 600), ("fair", 0)])
def test_a_code_location_whose_server_is_down_does_not_keep_the_only_slot(
    run_queue: MakeRunQueue, sharing: str, delay: int
) -> None:
    """Its runs are the oldest, are started, fail to and come back; b's starts within three ticks all the same."""
    queue = run_queue(
        max_concurrent_runs=1,
        max_user_code_failure_retries=50,
        user_code_failure_retry_delay=delay,
        code_location_limits={"default": 3, "sharing": sharing},
    )
    queue.launcher.bad_user_code_run_ids |= set(queue.queue(A, 3))
    queue.queue(B, 1)
    started: dict[str, int] = {}
    for _ in range(3):
        started |= queue.tick()
    assert started == {B: 1}


@on_one_storage
@in_both_orders
def test_a_code_location_starts_soon_after_its_server_is_back(run_queue: MakeRunQueue, sharing: str) -> None:
    """However often its runs came back before; others are queued behind them all the time."""
    queue = run_queue(
        max_concurrent_runs=2,
        max_user_code_failure_retries=50,
        user_code_failure_retry_delay=0,
        code_location_limits={"default": 2, "sharing": sharing},
    )
    queue.launcher.bad_user_code_run_ids |= set(queue.queue(A, 3))
    queue.copy(queue.queue(B, 1)[0], 15)
    for _ in range(4):
        queue.tick()
        queue.end(B, queue.in_progress(B))
    assert queue.in_progress(A) == 0
    assert queue.queued(A) == 3
    queue.launcher.bad_user_code_run_ids.clear()
    started: dict[str, int] = {}
    for _ in range(3):
        started |= queue.tick()
        queue.end(B, queue.in_progress(B))
    assert started.get(A)
