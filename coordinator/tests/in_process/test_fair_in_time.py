"""Fair sharing over time: with fewer free slots than code locations with work, everybody's turn comes.

Every run here lasts as long as every other, so that starts and slot-seconds are the same measure.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from itertools import groupby
from typing import Any

import pytest
import time_machine
from clt_queued_run_coordinator.policy.backoff import MAX_TICKS
from clt_queued_run_coordinator.store import live
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue, postgresql_run_queue

MakeRunQueue = Callable[..., RunQueue]
C = "code-location-c"
FAIR = {"sharing": "fair"}
RUN_SECONDS = 10


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """The clock of this process, to set forward; it goes on as always in between."""
    with time_machine.travel(datetime.now(timezone.utc), tick=True) as coordinates:
        yield coordinates


class Turns:
    """The starts of a queue, one after the other, each run as long as every other.

    Args:
        clock: The clock, set forward by a run's length before a run ends.
    """

    def __init__(self, clock: time_machine.Traveller) -> None:
        self._clock = clock
        self.taken: list[str] = []
        self._in_progress: list[str] = []

    def start(self, queue: RunQueue) -> None:
        """One tick; the starts are appended in their order."""
        for run_id in queue.tick_ids():
            origin = queue.run(run_id).remote_job_origin
            assert origin
            self.taken.append(origin.location_name)
            self._in_progress.append(origin.location_name)

    def end_the_oldest(self, queue: RunQueue) -> None:
        """The run that started first ends."""
        self._clock.shift(RUN_SECONDS)
        queue.end(self._in_progress.pop(0))

    def take(self, queue: RunQueue, starts: int) -> list[str]:
        """Let runs end and start one by one until there were so many starts more; returns whose they were."""
        before = len(self.taken)
        while len(self.taken) - before < starts:
            taken = len(self.taken)
            if self._in_progress:
                self.end_the_oldest(queue)
            self.start(queue)
            assert len(self.taken) > taken, "a slot stays free"
        return self.taken[before:]


def _fill(queue: RunQueue, name: str, runs: int) -> None:
    (run_id,) = queue.queue(name, 1)
    if runs > 1:
        queue.copy(run_id, runs - 1)


def test_a_late_code_location_gets_in_beside_two_floods(
    run_queue: MakeRunQueue, clock: time_machine.Traveller
) -> None:
    """Two slots, forty runs each of a and b, then two of c: it waited for all of a's and b's before."""
    queue = run_queue(max_concurrent_runs=2, code_location_limits=FAIR)
    _fill(queue, A, 40)
    _fill(queue, B, 40)
    turns = Turns(clock)
    turns.take(queue, 6)
    queue.queue(C, 2)
    taken = turns.take(queue, 8)
    assert C in taken[:2]
    assert taken.count(C) == 2


@on_one_storage
def test_starts_follow_the_weights_with_one_slot(run_queue: MakeRunQueue, clock: time_machine.Traveller) -> None:
    """3 to 1 to 1: of forty starts they were 40, 0 and 0 before."""
    queue = run_queue(
        max_concurrent_runs=1, code_location_limits={**FAIR, "locations": {A: {"weight": 3}, B: {"weight": 1}}}
    )
    for name in (A, B, C):
        _fill(queue, name, 40)
    shares = Counter(Turns(clock).take(queue, 40))
    assert abs(shares[A] - 24) <= 2
    assert abs(shares[B] - 8) <= 2
    assert abs(shares[C] - 8) <= 2


@on_one_storage
def test_starts_follow_the_weights_with_more_slots(run_queue: MakeRunQueue, clock: time_machine.Traveller) -> None:
    """Two slots that become free one by one, and three code locations of equal weight."""
    queue = run_queue(max_concurrent_runs=2, code_location_limits=FAIR)
    for name in (A, B, C):
        _fill(queue, name, 30)
    shares = Counter(Turns(clock).take(queue, 30))
    assert all(abs(shares[name] - 10) <= 2 for name in (A, B, C))


@on_one_storage
def test_idling_earns_no_credit_without_a_bound(run_queue: MakeRunQueue, clock: time_machine.Traveller) -> None:
    """A comes back after sixty starts of the others: not all slots are its own now, and its share is."""
    queue = run_queue(max_concurrent_runs=1, code_location_limits=FAIR)
    turns = Turns(clock)
    _fill(queue, A, 3)
    turns.take(queue, 3)
    for name in (B, C):
        _fill(queue, name, 60)
    assert A not in turns.take(queue, 60)
    _fill(queue, A, 40)
    taken = turns.take(queue, 30)
    assert A in taken[:3]
    assert max(len(list(row)) for name, row in groupby(taken) if name == A) <= 4
    assert 8 <= taken.count(A) <= 15
    assert min(taken.count(B), taken.count(C)) >= 6


def test_restarts_of_the_daemon_do_not_move_the_shares(
    new_database: Callable[[], str], clock: time_machine.Traveller
) -> None:
    """3 to 1 over forty starts, with a new daemon after every five of them."""
    url = new_database()
    config: dict[str, Any] = {
        "max_concurrent_runs": 1,
        "code_location_limits": {**FAIR, "locations": {A: {"weight": 3}, B: {"weight": 1}}},
    }
    turns = Turns(clock)
    for restart in range(8):
        with postgresql_run_queue(url, config, {}) as queue:
            if restart == 0:
                _fill(queue, A, 45)
                _fill(queue, B, 45)
            turns.take(queue, 5)
    assert abs(turns.taken.count(A) - 30) <= 2
    assert abs(turns.taken.count(B) - 10) <= 2


@pytest.mark.parametrize("kind", ["pool", "tag", "pause", "server"])
@pytest.mark.parametrize("sharing_slots", [1, 2])
@on_one_storage
def test_waiting_for_something_else_than_a_slot_earns_nothing(
    run_queue: MakeRunQueue, clock: time_machine.Traveller, kind: str, sharing_slots: int
) -> None:
    """B waits for twenty starts of a: for a pool, a tag limit, an operator or its code server."""
    queue = run_queue(
        {"pools": {"granularity": "run"}},
        max_concurrent_runs=sharing_slots,
        max_user_code_failure_retries=1000,
        user_code_failure_retry_delay=0,
        tag_concurrency_limits=[{"key": "held", "limit": 0}] if kind == "tag" else [],
        code_location_limits=FAIR,
    )
    pools = queue.instance.event_log_storage
    pools.set_concurrency_slots("database", 0)
    turns = Turns(clock)
    _fill(queue, A, 60)
    waiting = [
        queue.submit(
            B, {"held": "yes"} if kind == "tag" else None, pool="database" if kind == "pool" else None
        ).run_id
        for _ in range(30)
    ]
    if kind == "pause":
        live.pause(queue.instance, B)
    if kind == "server":
        queue.launcher.bad_user_code_run_ids |= set(waiting)
    while len(turns.taken) < 20:
        if len(turns._in_progress) == sharing_slots:
            turns.end_the_oldest(queue)
        turns.start(queue)
    assert B not in turns.taken
    pools.set_concurrency_slots("database", 10)
    live.resume(queue.instance, B)
    queue.launcher.bad_user_code_run_ids.clear()
    if kind == "tag":
        _fill(queue, B, 20)
    if kind == "server":
        turns.take(queue, MAX_TICKS)  # until then it gets only what a leaves
    taken = Counter(turns.take(queue, 20))
    assert abs(taken[A] - taken[B]) <= 4


@on_one_storage
def test_who_waits_for_a_pool_is_found_out_while_no_slot_is_free(
    run_queue: MakeRunQueue, clock: time_machine.Traveller
) -> None:
    """B comes while a's long run holds the only slot; it is looked at all the same, and earns nothing."""
    queue = run_queue({"pools": {"granularity": "run"}}, max_concurrent_runs=1, code_location_limits=FAIR)
    queue.instance.event_log_storage.set_concurrency_slots("database", 0)
    queue.queue(A, 2)
    assert queue.tick() == {A: 1}
    queue.queue(B, 2, pool="database")
    queue.queue(C, 2)
    for _ in range(10):
        clock.shift(600)
        assert queue.tick() == {}
    queue.instance.event_log_storage.set_concurrency_slots("database", 10)
    started: list[str] = []
    for ended in (A, C, C):
        queue.end(ended)
        started += queue.tick()
    assert started == [C, C, B]
