"""Minimums and groups, as real ticks of the daemon apply them."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
import time_machine
from clt_queued_run_coordinator.store import live
from dagster import DagsterRunStatus
from tests.in_process.storages import on_one_storage
from tests.in_process.test_fair_in_time import Turns
from tests.run_queue import A, B, RunQueue, in_the_middle_of_a_tick

MakeRunQueue = Callable[..., RunQueue]
C = "code-location-c"
D = "equipe/d'été 100%"
TEAM = {"team": {"locations": [A, B], "limit": 3}}

in_both_orders = pytest.mark.parametrize("sharing", ["fifo", "fair"])


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """The clock of this process, to set forward; it goes on as always in between."""
    with time_machine.travel(datetime.now(timezone.utc), tick=True) as coordinates:
        yield coordinates


def _in_progress(queue: RunQueue, *names: str) -> list[int]:
    return [queue.in_progress(name) for name in names]


@in_both_orders
@on_one_storage
def test_a_minimum_is_served_first(run_queue: MakeRunQueue, sharing: str) -> None:
    """Before older runs of the others, and before those of a higher priority."""
    queue = run_queue(
        max_concurrent_runs=4,
        code_location_limits={
            "sharing": sharing,
            "locations": {A: {"weight": 9}, D: {"min": 3}},
        },
    )
    queue.queue(A, 9, priority=9)
    queue.queue(D, 9)
    assert queue.tick() == {D: 3, A: 1}


@in_both_orders
def test_others_use_what_is_kept_until_it_is_wanted(run_queue: MakeRunQueue, sharing: str) -> None:
    """Nothing running is stopped; each slot that becomes free then goes back until the minimum is there."""
    queue = run_queue(
        max_concurrent_runs=4,
        code_location_limits={
            "sharing": sharing,
            "locations": {B: {"min": 2, "limit": 2}},
        },
    )
    queue.queue(A, 12)
    assert queue.tick() == {A: 4}
    queue.queue(B, 3)
    assert queue.tick() == {}
    queue.end(A)
    assert queue.tick() == {B: 1}
    queue.end(A)
    assert queue.tick() == {B: 1}
    queue.end(A)
    assert queue.tick() == {A: 1}
    queue.end(B, 2)
    assert queue.tick() == {A: 1, B: 1}


@in_both_orders
@on_one_storage
@pytest.mark.parametrize("kind", ["pool", "tag", "pause", "limit"])
def test_nothing_idles_for_a_minimum_that_cannot_be_used(run_queue: MakeRunQueue, sharing: str, kind: str) -> None:
    """All its runs are held: by a pool, by a tag limit, by a pause, by a live limit below it."""
    queue = run_queue(
        {"pools": {"granularity": "run"}},
        max_concurrent_runs=4,
        tag_concurrency_limits=[{"key": "held", "limit": 0}],
        code_location_limits={"sharing": sharing, "locations": {B: {"min": 3}}},
    )
    queue.instance.event_log_storage.set_concurrency_slots("database", 0)
    needs: dict[str, dict[str, Any]] = {"pool": {"pool": "database"}, "tag": {"tags": {"held": "yes"}}}
    queue.queue(B, 5, **needs.get(kind, {}))
    if kind == "pause":
        live.pause(queue.instance, B)
    if kind == "limit":
        live.set_limit(queue.instance, B, 1)
    queue.queue(A, 5)
    started = Counter(queue.tick()) + Counter(queue.tick())
    assert started == ({A: 3, B: 1} if kind == "limit" else {A: 4})


@in_both_orders
@on_one_storage
def test_a_minimum_keeps_no_slots_for_a_code_server_that_is_down(run_queue: MakeRunQueue, sharing: str) -> None:
    """At most at the tick in which that is found out."""
    queue = run_queue(
        max_concurrent_runs=3,
        max_user_code_failure_retries=10,
        user_code_failure_retry_delay=600,
        code_location_limits={
            "sharing": sharing,
            "groups": {"team": {"locations": [A, B], "limit": 2, "min": 2}},
            "locations": {A: {"min": 2}},
        },
    )
    queue.launcher.bad_user_code_run_ids |= set(queue.queue(A, 5))
    queue.queue(B, 5)
    queue.queue(C, 5)
    for _ in range(3):
        queue.tick()
    assert _in_progress(queue, A, B, C) == [0, 2, 1]


@in_both_orders
def test_the_limit_of_a_group_holds_for_its_code_locations_together(run_queue: MakeRunQueue, sharing: str) -> None:
    """Also with a total, and for what one of them has in progress without anything queued."""
    queue = run_queue(
        max_concurrent_runs=8,
        code_location_limits={"sharing": sharing, "groups": TEAM},
    )
    queue.put(A, DagsterRunStatus.STARTED, 1, tag=A)
    queue.queue(B, 5)
    queue.queue(C, 3)
    assert queue.tick() == {B: 2, C: 3}
    queue.queue(A, 5)
    assert queue.tick() == {}
    queue.end(B)
    assert sum(queue.tick().values()) == 1
    assert sum(_in_progress(queue, A, B)) == 3


@in_both_orders
@on_one_storage
def test_the_limit_of_a_group_holds_without_a_total(run_queue: MakeRunQueue, sharing: str) -> None:
    """It alone makes the daemon's reading narrow; minimums hold within it."""
    queue = run_queue(
        max_concurrent_runs=-1,
        code_location_limits={
            "sharing": sharing, "groups": TEAM, "locations": {B: {"min": 2}}
        },
    )  # fmt: skip
    queue.queue(A, 5)
    queue.queue(B, 5)
    queue.queue(C, 5)
    assert queue.tick() == {A: 1, B: 2, C: 5}
    assert queue.tick() == {}


@in_both_orders
@pytest.mark.parametrize("ended", [1, 2])
@on_one_storage
def test_the_limit_of_a_group_holds_while_runs_end_and_come_during_the_tick(
    run_queue: MakeRunQueue, sharing: str, ended: int
) -> None:
    """A code location that nobody had queued anything from yet, and one whose runs end."""
    queue = run_queue(
        max_concurrent_runs=20,
        code_location_limits={
            "sharing": sharing,
            "groups": {"team": {"locations": [A, B, D], "limit": 3}},
        },
    )
    queue.queue(A, 8)
    assert queue.tick() == {A: 3}
    queue.queue(B, 8)
    queue.queue(C, 1)

    def meanwhile() -> None:
        queue.end(A, ended)
        queue.queue(D, 5)

    with in_the_middle_of_a_tick(queue, meanwhile):
        queue.tick()
    assert sum(_in_progress(queue, A, B, D)) <= 3
    queue.tick()
    assert sum(_in_progress(queue, A, B, D)) == 3


@on_one_storage
def test_above_its_limit_a_group_gets_nothing_for_runs_that_end_during_the_tick(run_queue: MakeRunQueue) -> None:
    """Six run past the coordinator; one ends, then three more in the middle of a tick."""
    queue = run_queue(max_concurrent_runs=20, code_location_limits={"default": 9, "groups": TEAM})
    queue.put(A, DagsterRunStatus.STARTING, 3, tag=A)
    queue.put(B, DagsterRunStatus.STARTING, 3, tag=B)
    queue.queue(A, 5)
    queue.queue(B, 5)
    queue.queue(C, 1)
    assert queue.tick() == {C: 1}
    with in_the_middle_of_a_tick(queue, lambda: queue.end(A, 3)):
        queue.tick()
    assert sum(_in_progress(queue, A, B)) <= 3


@on_one_storage
def test_groups_share_first_and_then_their_code_locations(run_queue: MakeRunQueue) -> None:
    """The team of two has as much as the code location that is in no group."""
    queue = run_queue(
        max_concurrent_runs=12,
        code_location_limits={
            "sharing": "fair",
            "locations": {A: {"weight": 2}},
            "groups": {"team": {"locations": [A, B]}},
        },
    )
    for name in (A, B, C):
        queue.queue(name, 12)
    assert queue.tick() == {A: 4, B: 2, C: 6}


@on_one_storage
def test_the_minimum_of_a_group_is_served_first(run_queue: MakeRunQueue) -> None:
    """Whichever code location of it has work."""
    queue = run_queue(
        max_concurrent_runs=4,
        code_location_limits={"groups": {"team": {"locations": [A, B], "min": 3}}},
    )
    queue.queue(C, 9, priority=9)
    queue.queue(A, 1)
    queue.queue(B, 9)
    assert queue.tick() == {A: 1, B: 2, C: 1}


@on_one_storage
def test_with_one_slot_groups_take_turns_by_their_weights(
    run_queue: MakeRunQueue, clock: time_machine.Traveller
) -> None:
    """2 to 1 between the team and the lone code location, evenly within the team, from a late start on."""
    queue = run_queue(
        max_concurrent_runs=1,
        code_location_limits={"sharing": "fair", "groups": {"team": {"locations": [A, B], "weight": 2}}},
    )
    turns = Turns(clock)
    queue.copy(queue.queue(C)[0], 60)
    turns.take(queue, 6)
    for name in (A, B):
        queue.copy(queue.queue(name)[0], 60)
    taken = Counter(turns.take(queue, 30))
    assert abs(taken[C] - 10) <= 2
    assert abs(taken[A] - taken[B]) <= 2


@on_one_storage
def test_a_code_location_that_comes_back_charges_nothing_to_its_group(
    run_queue: MakeRunQueue, clock: time_machine.Traveller
) -> None:
    """Being set level with a busy one of the same group is no use of the group's."""
    queue = run_queue(
        max_concurrent_runs=1, code_location_limits={"sharing": "fair", "groups": {"team": {"locations": [A, B]}}}
    )
    turns = Turns(clock)
    for name in (A, C):
        queue.copy(queue.queue(name)[0], 60)
    turns.take(queue, 20)
    queue.copy(queue.queue(B)[0], 60)
    taken = Counter(turns.take(queue, 20))
    assert abs(taken[C] - 10) <= 2
    assert abs(taken[A] - taken[B]) <= 2


@on_one_storage
def test_the_log_says_that_a_group_is_at_its_limit(
    run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """Beside its code locations, none of which is."""
    queue = run_queue(max_concurrent_runs=8, code_location_limits={"default": 3, "groups": TEAM})
    queue.queue(A, 2)
    queue.queue(B, 2)
    assert queue.tick() == {A: 2, B: 1}
    with caplog.at_level("INFO"):
        assert queue.tick() == {}
    assert f"No queued run can start ({B} 1/3, group team 3/3). 1 queued, 3 in progress" in caplog.text
