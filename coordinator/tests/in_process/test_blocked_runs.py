"""Runs that wait for a full pool or for another tag limit keep nothing from those behind them."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]


class Blocking:
    """What only one run at a time can have: the one slot of a pool, or a tag that is limited to one run.

    Args:
        run_queue: Makes the queue.
        kind: `pool` or `tag`.
        options: Those of the coordinator; the run of b that holds what the others want has a slot of the total.
    """

    def __init__(self, run_queue: MakeRunQueue, kind: str, **options: Any) -> None:
        if kind == "pool":
            self.needed: dict[str, Any] = {"pool": "database"}
            self.queue = run_queue({"pools": {"granularity": "run"}}, **options)
            self.queue.instance.event_log_storage.set_concurrency_slots("database", 1)
        else:
            self.needed = {"tags": {"database": "yes"}}
            self.queue = run_queue(tag_concurrency_limits=[{"key": "database", "limit": 1}], **options)
        self.queue.queue(B, 1, **self.needed)
        assert self.queue.tick() == {B: 1}

    def add(self, runs: int, copies: int = 0) -> set[str]:
        """Queue runs of a that need what b holds."""
        run_ids = self.queue.queue(A, runs, **self.needed)
        return {*run_ids, *(self.queue.copy(run_ids[0], copies) if copies else [])}


by_either = pytest.mark.parametrize("kind", ["pool", "tag"])
in_both_orders = pytest.mark.parametrize("sharing", ["fifo", "fair"])


@by_either
@in_both_orders
def test_blocked_runs_do_not_use_up_the_limit_of_those_behind(
    run_queue: MakeRunQueue, kind: str, sharing: str
) -> None:
    """The three oldest are blocked, five others could start, and the limit is three."""
    blocking = Blocking(run_queue, kind, code_location_limits={"locations": {A: 3}, "sharing": sharing})
    queue = blocking.queue
    blocked = blocking.add(3)
    queue.queue(A, 5)
    started = {*queue.tick_ids(), *queue.tick_ids()}
    assert len(started) == 3
    assert not started & blocked
    assert queue.tick() == {}


@on_one_storage
@by_either
def test_blocked_runs_do_not_use_up_the_slots_of_those_behind(run_queue: MakeRunQueue, kind: str) -> None:
    """The same where not a limit but the total leaves three slots, which sharing deals."""
    blocking = Blocking(run_queue, kind, max_concurrent_runs=4, code_location_limits={"sharing": "fair"})
    queue = blocking.queue
    blocking.add(3)
    queue.queue(A, 5)
    queue.tick()
    queue.tick()
    assert queue.in_progress(A) == 3


@by_either
def test_a_long_row_of_blocked_runs_is_passed_within_a_few_ticks(run_queue: MakeRunQueue, kind: str) -> None:
    """150 in front, one behind them that could start, and a limit of three."""
    blocking = Blocking(run_queue, kind, code_location_limits={"locations": {A: 3}})
    blocking.add(1, copies=149)
    queue = blocking.queue
    (free,) = queue.queue(A, 1)
    started: list[str] = []
    for _ in range(10):
        started += queue.tick_ids()
    assert started == [free]


@on_one_storage
@by_either
@in_both_orders
def test_a_run_that_is_no_longer_blocked_starts_though_younger_ones_keep_coming(
    run_queue: MakeRunQueue, kind: str, sharing: str
) -> None:
    """Being passed by others does not cost it its place once it could start."""
    blocking = Blocking(run_queue, kind, code_location_limits={"locations": {A: 2}, "sharing": sharing})
    blocked = blocking.add(1)
    queue = blocking.queue
    queue.queue(A, 3)

    def one_ends_and_another_comes() -> set[str]:
        if queue.in_progress(A) == 2:
            queue.end(A)
        queue.queue(A, 1)
        return set(queue.tick_ids())

    for _ in range(6):
        assert not blocked & one_ends_and_another_comes()
    assert queue.in_progress(A) == 2
    queue.end(B)
    assert blocked & (one_ends_and_another_comes() | one_ends_and_another_comes())


@on_one_storage
@by_either
def test_other_code_locations_start_past_blocked_runs_of_a_higher_priority(
    run_queue: MakeRunQueue, kind: str
) -> None:
    """One slot is free, and whoever is first in Dagster's order can't use it."""
    blocking = Blocking(run_queue, kind, max_concurrent_runs=2)
    queue = blocking.queue
    queue.queue(A, 3, priority=9, **blocking.needed)
    queue.queue(B, 1)
    assert {**queue.tick(), **queue.tick()} == {B: 1}


@on_one_storage
@by_either
def test_of_blocked_runs_one_starts_for_each_place_that_becomes_free(run_queue: MakeRunQueue, kind: str) -> None:
    """In the order in which they were queued, however often each was passed."""
    blocking = Blocking(run_queue, kind, code_location_limits={"locations": {A: 3}})
    queue = blocking.queue
    blocked = queue.queue(A, 4, **blocking.needed)
    for _ in range(3):
        assert queue.tick() == {}
    queue.end(B)
    started: list[str] = []
    for _ in range(4):
        started += queue.tick_ids()
        started += queue.tick_ids()
        queue.end(A)
    assert started == blocked
