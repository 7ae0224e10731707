"""Queues of held runs that are longer than what one tick reads, and to which more keep coming."""

from collections.abc import Callable, Iterator

import pytest
from dagster import DagsterRunStatus
from dagster._core.storage.tags import PRIORITY_TAG
from tests.in_process.statements import Statements
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]

OTHERS = [f"code-location-{letter}" for letter in "cdefghijklmnopqrstuvwxyz"]
"""With as many code locations that have room, a tick reads the fewest runs of each."""

LIMITS = [{"key": "held", "limit": 0}, {"key": "gate", "limit": 1}]
HELD = {"held": "yes"}

in_both_orders = pytest.mark.parametrize("sharing", ["fifo", "fair"])


@pytest.fixture(params=["0", "9"])
def arrivals(request: pytest.FixtureRequest) -> Callable[[RunQueue], Iterator[None]]:
    """Held runs that keep coming to a, at the end of the queue or before all others: 60 with each step."""

    def arrive(queue: RunQueue) -> Iterator[None]:
        first = queue.submit(A, {**HELD, PRIORITY_TAG: request.param}).run_id
        while True:
            queue.copy(first, 60)
            yield

    return arrive


def _others(queue: RunQueue) -> None:
    for name in OTHERS:
        queue.queue(name, tags=HELD)


@on_one_storage
@in_both_orders
def test_a_run_that_becomes_free_starts_at_the_next_tick_whatever_arrives(
    run_queue: MakeRunQueue, arrivals: Callable[[RunQueue], Iterator[None]], sharing: str
) -> None:
    """It has been read, so it isn't looked for."""
    queue = run_queue(tag_concurrency_limits=LIMITS, code_location_limits={"default": 9, "sharing": sharing})
    queue.put(B, DagsterRunStatus.STARTED)
    (gate,) = queue.queue(B, tags={"gate": "yes"})
    assert queue.tick() == {B: 1}
    _others(queue)
    queue.copy(queue.queue(A, tags=HELD)[0], 60)
    (waiting,) = queue.queue(A, tags={"gate": "yes"})
    coming = arrivals(queue)
    for _ in range(5):
        next(coming)
        assert queue.tick() == {}
    queue.instance.report_run_canceled(queue.run(gate))
    next(coming)
    assert queue.tick_ids() == [waiting]


@on_one_storage
@in_both_orders
def test_a_run_behind_held_ones_is_reached_in_a_bounded_number_of_ticks_whatever_arrives(
    run_queue: MakeRunQueue, arrivals: Callable[[RunQueue], Iterator[None]], sharing: str
) -> None:
    """One of 25 in front of it for each tick, however many come after it or are put before it."""
    queue = run_queue(tag_concurrency_limits=LIMITS, code_location_limits={"default": 9, "sharing": sharing})
    _others(queue)
    queue.copy(queue.queue(A, tags=HELD)[0], 99)
    (free,) = queue.queue(A)
    coming = arrivals(queue)
    started: list[str] = []
    for _ in range(5):
        next(coming)
        started += queue.tick_ids()
    assert started == [free]


@on_one_storage
def test_runs_that_are_held_are_read_once(run_queue: MakeRunQueue) -> None:
    """Then a tick reads no body at all, but that of a run that is looked up again in turn."""
    queue = run_queue(
        {"pools": {"granularity": "run"}}, max_concurrent_runs=4, code_location_limits={"sharing": "fair"}
    )
    queue.instance.event_log_storage.set_concurrency_slots("database", 0)
    queue.copy(queue.queue(A, pool="database")[0], 300)
    for _ in range(4):
        assert queue.tick() == {}
    with Statements() as statements:
        assert queue.tick() == {}
    bodies = [text for text in statements.executed if "SELECT runs.id, runs.run_body" in text]
    assert len(bodies) <= 1
