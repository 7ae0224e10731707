"""Fair sharing, as real ticks of the daemon apply it."""

from collections.abc import Callable

import pytest
from clt_queued_run_coordinator.policy.backoff import MAX_TICKS
from clt_queued_run_coordinator.store import live
from dagster import DagsterRunStatus
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue

pytestmark = on_one_storage

MakeRunQueue = Callable[..., RunQueue]
C = "code-location-c"
FAIR = {"sharing": "fair"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("sharing", "starts_before_b"), [("fifo", 180), ("fair", 0)])
def test_a_burst_of_one_does_not_hold_up_another(
    run_queue: MakeRunQueue, sharing: str, starts_before_b: int
) -> None:
    """200 runs of a are queued and 20 of them start, then 5 of b: with fair b's first takes the next free slot."""
    queue = run_queue(max_concurrent_runs=20, code_location_limits={"sharing": sharing})
    queue.queue(A, 200)
    assert queue.tick() == {A: 20}
    queue.queue(B, 5)
    starts_of_a = 0
    while True:
        queue.end(A, 1 if sharing == "fair" else 20)
        started = queue.tick()
        if B in started:
            break
        starts_of_a += started[A]
    assert starts_of_a == starts_before_b


def test_free_slots_are_shared_by_weight(run_queue: MakeRunQueue) -> None:
    """A weight of 2 gets twice the slots of a weight of 1."""
    queue = run_queue(
        max_concurrent_runs=6, code_location_limits={**FAIR, "locations": {A: {"weight": 2}, B: {"weight": 1}}}
    )
    queue.queue(A, 9)
    queue.queue(B, 9)
    assert queue.tick() == {A: 4, B: 2}


def test_shares_stay_within_the_limits(run_queue: MakeRunQueue) -> None:
    """What a limit keeps from one goes to the others."""
    queue = run_queue(max_concurrent_runs=8, code_location_limits={**FAIR, "default": 6, "locations": {A: 1}})
    queue.queue(A, 9)
    queue.queue(B, 9)
    queue.queue(C, 9)
    started = queue.tick()
    assert started[A] == 1
    assert sorted((started[B], started[C])) == [3, 4]


def test_a_lone_code_location_gets_every_slot(run_queue: MakeRunQueue) -> None:
    """Sharing is work-conserving."""
    queue = run_queue(max_concurrent_runs=5, code_location_limits={**FAIR, "default": 10})
    queue.queue(A, 9)
    assert queue.tick() == {A: 5}


def test_without_a_total_every_share_is_its_limit(run_queue: MakeRunQueue) -> None:
    """With max_concurrent_runs -1 there is nothing to share."""
    queue = run_queue(max_concurrent_runs=-1, code_location_limits={**FAIR, "default": 3})
    queue.queue(A, 5)
    queue.queue(B, 5)
    assert queue.tick() == {A: 3, B: 3}


def test_the_instances_total_is_what_is_shared(run_queue: MakeRunQueue) -> None:
    """`concurrency.runs.max_concurrent_runs` replaces the coordinator's total for the shares too."""
    queue = run_queue({"runs": {"max_concurrent_runs": 4}}, max_concurrent_runs=100, code_location_limits=FAIR)
    queue.queue(A, 9)
    queue.queue(B, 9)
    assert queue.tick() == {A: 2, B: 2}


def test_runs_without_a_code_location_use_up_the_total(run_queue: MakeRunQueue) -> None:
    """Slots that are taken by runs past the coordinator are not shared out."""
    queue = run_queue(max_concurrent_runs=6, code_location_limits=FAIR)
    queue.put(None, DagsterRunStatus.STARTED, 2)
    queue.queue(A, 9)
    queue.queue(B, 9)
    assert queue.tick() == {A: 2, B: 2}


def test_running_runs_above_the_share_are_left_alone(run_queue: MakeRunQueue) -> None:
    """Whoever is above his share gets nothing new until the others have caught up."""
    queue = run_queue(max_concurrent_runs=4, code_location_limits=FAIR)
    queue.queue(A, 9)
    assert queue.tick() == {A: 4}
    queue.queue(B, 9)
    queue.end(A)
    assert queue.tick() == {B: 1}
    queue.end(A)
    assert queue.tick() == {B: 1}
    queue.end(A)
    queue.end(B)
    assert queue.tick() == {A: 1, B: 1}


def test_with_fewer_slots_than_code_locations_everybody_gets_a_turn(run_queue: MakeRunQueue) -> None:
    """One slot goes round by what each has used."""
    queue = run_queue(max_concurrent_runs=1, code_location_limits=FAIR)
    for name in (B, A, C):
        queue.queue(name, 2)
    turns = []
    for _ in range(6):
        started = queue.tick()
        turns += list(started)
        queue.end(turns[-1])
    assert sorted(turns[:3]) == [A, B, C]
    assert sorted(turns) == [A, A, B, B, C, C]


def _ticks_until_full(queue: RunQueue, slots: int) -> int:
    for tick in range(1, 6):
        queue.tick()
        if sum(queue.in_progress(name) for name in (A, B, C)) == slots:
            return tick
    raise AssertionError("slots stay idle")


def test_slots_that_a_tag_limit_would_leave_unused_go_to_the_others(run_queue: MakeRunQueue) -> None:
    """A's runs are held by another tag limit: b gets a's slots in the same tick."""
    queue = run_queue(
        max_concurrent_runs=10,
        tag_concurrency_limits=[{"key": "database", "limit": 1}],
        code_location_limits={**FAIR, "default": 10},
    )
    queue.queue(A, 20, tags={"database": "yes"})
    queue.queue(B, 20)
    assert queue.tick() == {A: 1, B: 9}


def test_slots_that_a_full_pool_would_leave_unused_go_to_the_others(run_queue: MakeRunQueue) -> None:
    """A's runs wait for a pool: b gets a's slots in the same tick."""
    queue = run_queue({"pools": {"granularity": "run"}}, max_concurrent_runs=6, code_location_limits=FAIR)
    queue.instance.event_log_storage.set_concurrency_slots("database", 1)
    queue.queue(A, 10, pool="database")
    queue.queue(B, 10)
    assert queue.tick() == {A: 1, B: 5}


def test_slots_of_a_code_location_whose_server_is_down_are_offered_to_the_others(run_queue: MakeRunQueue) -> None:
    """A's runs go back to the queue because nobody answers: b takes a's slots at the next tick."""
    queue = run_queue(
        max_concurrent_runs=4,
        max_user_code_failure_retries=10,
        user_code_failure_retry_delay=600,
        code_location_limits=FAIR,
    )
    queue.launcher.bad_user_code_run_ids |= set(queue.queue(A, 10))
    queue.queue(B, 10)
    assert _ticks_until_full(queue, 4) <= 3
    assert queue.in_progress(B) == 4


def test_a_blocked_code_location_does_not_starve_one_that_could_run(run_queue: MakeRunQueue) -> None:
    """One slot, and the oldest runs are held."""
    queue = run_queue(
        max_concurrent_runs=1, tag_concurrency_limits=[{"key": "held", "limit": 0}], code_location_limits=FAIR
    )
    queue.queue(A, 3, tags={"held": "yes"})
    queue.queue(B, 1)
    assert queue.tick() == {B: 1}


def test_a_code_location_whose_server_is_down_does_not_starve_the_others_nor_starves(
    run_queue: MakeRunQueue,
) -> None:
    """One slot: a is offered behind the others, and first again for a tick now and then."""
    queue = run_queue(
        max_concurrent_runs=1,
        max_user_code_failure_retries=1000,
        user_code_failure_retry_delay=0,
        code_location_limits=FAIR,
    )
    down = queue.queue(A, 3)
    queue.launcher.bad_user_code_run_ids |= set(down)
    queue.queue(B, 60)
    assert _starts(queue, B, 30) >= 20
    queue.launcher.bad_user_code_run_ids -= set(down)
    assert _starts(queue, A, 2 * MAX_TICKS) == 3


def _starts(queue: RunQueue, name: str, ticks: int) -> int:
    """How many runs of a code location start in some ticks, while every run ends at once."""
    starts = 0
    for _ in range(ticks):
        started = queue.tick()
        starts += started.get(name, 0)
        for of, number in started.items():
            if number := min(number, queue.in_progress(of)):
                queue.end(of, number)
    return starts


def test_a_code_location_that_is_no_longer_held_gets_its_share_at_once(run_queue: MakeRunQueue) -> None:
    """What held its runs is looked at anew at each tick."""
    queue = run_queue(
        max_concurrent_runs=3,
        tag_concurrency_limits=[{"key": "held", "limit": 1}],
        code_location_limits=FAIR,
    )
    queue.queue(C, 1, tags={"held": "yes"})
    assert queue.tick() == {C: 1}
    queue.queue(B, 60)
    queue.queue(A, 5, tags={"held": "yes"})
    assert queue.tick() == {B: 2}
    queue.end(C)
    assert queue.tick() == {A: 1}


def test_a_pause_hands_the_share_to_the_others(run_queue: MakeRunQueue) -> None:
    """A paused code location claims nothing."""
    queue = run_queue(max_concurrent_runs=4, code_location_limits=FAIR)
    live.pause(queue.instance, A)
    queue.queue(A, 5)
    queue.queue(B, 5)
    assert queue.tick() == {B: 4}
