"""What happens between the coordinator's reading and the daemon's own lets nothing start that should not."""

from collections.abc import Callable

import pytest
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION
from clt_queued_run_coordinator.store import live
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue, in_the_middle_of_a_tick

MakeRunQueue = Callable[..., RunQueue]
C = "code-location-c"

in_both_orders = pytest.mark.parametrize("sharing", ["fifo", "fair"])


def _four_of_a_in_progress(run_queue: MakeRunQueue, sharing: str, waiting: int) -> RunQueue:
    """Four runs of a are in progress and more are queued, and some of b that could start."""
    queue = run_queue(max_concurrent_runs=10, code_location_limits={"default": 4, "sharing": sharing})
    queue.queue(A, 8)
    assert queue.tick() == {A: 4}
    queue.queue(B, waiting)
    return queue


@in_both_orders
@pytest.mark.parametrize("waiting", [0, 3])
def test_a_paused_code_location_gets_nothing_back_for_a_run_that_ends_during_the_tick(
    run_queue: MakeRunQueue, sharing: str, waiting: int
) -> None:
    """Whoever else can start does."""
    queue = _four_of_a_in_progress(run_queue, sharing, waiting)
    live.pause(queue.instance, A)
    with in_the_middle_of_a_tick(queue, lambda: queue.end(A, 2)):
        assert queue.tick() == ({B: waiting} if waiting else {})
    assert queue.tick() == {}


@on_one_storage
@in_both_orders
@pytest.mark.parametrize("ended", [1, 4])
def test_a_lowered_limit_is_not_exceeded_where_runs_end_during_the_tick(
    run_queue: MakeRunQueue, sharing: str, ended: int
) -> None:
    """Lowered from 4 to 2 while 4 run: with 3 of them left nothing starts, with none left at most two."""
    queue = _four_of_a_in_progress(run_queue, sharing, waiting=3)
    live.set_limit(queue.instance, A, 2)
    with in_the_middle_of_a_tick(queue, lambda: queue.end(A, ended)):
        started = queue.tick()
    assert started.get(B, 0) == 3
    assert queue.in_progress(A) <= max(2, 4 - ended)
    queue.tick()
    assert queue.in_progress(A) == max(2, 4 - ended)


@in_both_orders
def test_a_pause_of_all_holds_a_code_location_first_seen_during_the_tick(
    run_queue: MakeRunQueue, sharing: str
) -> None:
    """Nobody knew its name when the tick began."""
    queue = run_queue(max_concurrent_runs=10, code_location_limits={"default": 4, "sharing": sharing})
    live.pause(queue.instance, EVERY_CODE_LOCATION)
    with in_the_middle_of_a_tick(queue, lambda: queue.queue(C, 3)):
        assert queue.tick() == {}
    assert queue.tick() == {}
    live.resume(queue.instance, EVERY_CODE_LOCATION)
    queue.tick()
    assert queue.in_progress(C) == 3


@on_one_storage
def test_a_pause_of_all_holds_where_nothing_else_limits(run_queue: MakeRunQueue) -> None:
    """Without a total and without limits Dagster would read the whole queue."""
    queue = run_queue(max_concurrent_runs=-1)
    live.pause(queue.instance, EVERY_CODE_LOCATION)
    with in_the_middle_of_a_tick(queue, lambda: queue.queue(C, 3)):
        assert queue.tick() == {}


@on_one_storage
def test_a_pause_of_all_holds_a_new_code_location_beside_one_that_was_resumed(run_queue: MakeRunQueue) -> None:
    """The one that may start keeps the tick from being spared."""
    queue = run_queue(max_concurrent_runs=10)
    live.pause(queue.instance, EVERY_CODE_LOCATION)
    live.resume(queue.instance, B)
    queue.queue(B, 2)
    with in_the_middle_of_a_tick(queue, lambda: queue.queue(C, 3)):
        assert queue.tick() == {B: 2}


@in_both_orders
@pytest.mark.parametrize("entry_of_a", [None, 9])
def test_the_default_holds_a_code_location_first_seen_during_the_tick(
    run_queue: MakeRunQueue, sharing: str, entry_of_a: int | None
) -> None:
    """Also beside one whose own limit is larger: nine ran under a default of two before."""
    queue = run_queue(
        max_concurrent_runs=30,
        code_location_limits={
            "default": 2,
            "locations": {A: entry_of_a} if entry_of_a else {},
            "sharing": sharing,
        },
    )
    queue.queue(A, 1)
    with in_the_middle_of_a_tick(queue, lambda: queue.queue(C, 12)):
        assert queue.tick().get(C, 0) <= 2
    for _ in range(2):
        queue.tick()
        assert queue.in_progress(C) == 2


@on_one_storage
@in_both_orders
def test_a_live_limit_on_another_opens_nothing_for_a_code_location_first_seen_during_the_tick(
    run_queue: MakeRunQueue, sharing: str
) -> None:
    """The default is what holds."""
    queue = run_queue(max_concurrent_runs=30, code_location_limits={"default": 2, "sharing": sharing})
    live.set_limit(queue.instance, A, 9)
    queue.queue(A, 1)
    with in_the_middle_of_a_tick(queue, lambda: queue.queue(C, 12)):
        assert queue.tick().get(C, 0) <= 2


@in_both_orders
def test_runs_that_leave_the_queue_during_the_tick_do_not_keep_others(
    run_queue: MakeRunQueue, sharing: str
) -> None:
    """One is deleted and one canceled: neither starts, the tick goes on, and their slots are soon used."""
    queue = run_queue(max_concurrent_runs=4, code_location_limits={"default": 4, "sharing": sharing})
    deleted, canceled, *_ = queue.queue(A, 6)
    queue.queue(B, 6)

    def leave() -> None:
        queue.instance.delete_run(deleted)
        queue.instance.report_run_canceled(queue.run(canceled))

    with in_the_middle_of_a_tick(queue, leave):
        started = queue.tick_ids()
    assert started
    assert not {deleted, canceled} & set(started)
    queue.tick()
    assert queue.in_progress(A) + queue.in_progress(B) == 4
