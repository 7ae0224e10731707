"""Runs of backfills beside other runs of their code location, through real ticks."""

from collections.abc import Callable

import pytest
from clt_queued_run_coordinator.daemon.candidates import CANDIDATES_PER_TICK
from dagster._core.storage.tags import BACKFILL_ID_TAG
from tests.in_process.storages import on_one_storage
from tests.in_process.test_explain import explained
from tests.run_queue import A, B, RunQueue

pytestmark = on_one_storage

MakeRunQueue = Callable[..., RunQueue]
OF_BACKFILL = {BACKFILL_ID_TAG: "one"}

in_both_orders = pytest.mark.parametrize("sharing", ["fifo", "fair"])


def starts(queue: RunQueue, ticks: int) -> str:
    """What each tick starts, in one slot each: `b` for a run of a backfill, `o` for another."""
    order = ""
    for _ in range(ticks):
        for run_id in queue.tick_ids():
            run = queue.run(run_id)
            order += "b" if BACKFILL_ID_TAG in run.tags else "o"
            queue.instance.report_run_canceled(run)
    return order


@in_both_orders
def test_a_long_backfill_neither_holds_others_up_nor_starves(run_queue: MakeRunQueue, sharing: str) -> None:
    """Every fourth start is its, while others wait; all of them, while none do."""
    limits = {"locations": {A: {"backfill_share": 0.25}}, "sharing": sharing}
    queue = run_queue(max_concurrent_runs=1, code_location_limits=limits)
    queue.copy(queue.queue(A, tags=OF_BACKFILL)[0], 300)
    assert starts(queue, 2) == "bb"
    queue.queue(A, 7)
    assert starts(queue, 11) == "ooobooobobb"


def test_each_of_the_two_keeps_dagsters_order(run_queue: MakeRunQueue) -> None:
    """Priority, then age; a priority doesn't move a run before those of the other kind."""
    queue = run_queue(max_concurrent_runs=4, code_location_limits={"default": {"backfill_share": 0.5}})
    first, second = queue.queue(A, 2)
    (low,) = queue.queue(A, tags=OF_BACKFILL)
    (high,) = queue.queue(A, tags=OF_BACKFILL, priority=9)
    assert set(queue.tick_ids()) == {first, second, low, high}
    queue = run_queue(max_concurrent_runs=2, code_location_limits={"default": {"backfill_share": 0.5}})
    (first,) = queue.queue(A)
    queue.queue(A)
    queue.queue(A, tags=OF_BACKFILL)
    (high,) = queue.queue(A, tags=OF_BACKFILL, priority=9)
    assert set(queue.tick_ids()) == {first, high}


def test_runs_that_are_held_keep_nobody_waiting(run_queue: MakeRunQueue) -> None:
    """The whole backfill waits for a full pool, more runs of it than a tick looks at."""
    queue = run_queue(max_concurrent_runs=4, code_location_limits={"default": {"backfill_share": 0.9}})
    queue.instance.event_log_storage.set_concurrency_slots("full", 0)
    held = queue.submit(A, OF_BACKFILL, pool="full").run_id
    queue.copy(held, CANDIDATES_PER_TICK)
    others = queue.queue(A, 3)
    assert queue.tick_ids() == others


def test_between_code_locations_nothing_changes(run_queue: MakeRunQueue) -> None:
    """The code location with the oldest run goes first, also where it is another run's turn within it."""
    queue = run_queue(max_concurrent_runs=1, code_location_limits={"default": {"backfill_share": 0.25}})
    queue.queue(A, 2, tags=OF_BACKFILL)
    (of_b,) = queue.queue(B)
    (other,) = queue.queue(A)
    assert queue.tick_ids() == [other]
    queue.end(A)
    assert starts(queue, 2) == "bb"
    assert queue.tick_ids() == [of_b]


def test_beside_limits_on_jobs_and_backfills(run_queue: MakeRunQueue) -> None:
    """A backfill at its limit leaves its turns to another, then to the other runs."""
    entry = {"backfill_share": 0.5, "max_per_backfill": 1, "max_per_job": {"jobs": {"held": 0}}}
    queue = run_queue(max_concurrent_runs=6, code_location_limits={"locations": {A: entry}})
    one, *_ = queue.queue(A, 3, tags=OF_BACKFILL)
    (two,) = queue.queue(A, tags={BACKFILL_ID_TAG: "two"})
    queue.queue(A, job_name="held")
    others = queue.queue(A, 4)
    assert sorted(queue.tick_ids()) == sorted([one, two, *others])


def test_a_run_whose_start_failed_has_not_had_its_turn(run_queue: MakeRunQueue) -> None:
    """Its code server did not answer, and the daemon put it back."""
    queue = run_queue(
        max_concurrent_runs=1,
        max_user_code_failure_retries=3,
        user_code_failure_retry_delay=0,
        code_location_limits={"default": {"backfill_share": 0.5}},
    )
    queue.queue(A, 4)
    of_backfill = queue.queue(A, 4, tags=OF_BACKFILL)
    queue.launcher.bad_user_code_run_ids |= set(of_backfill)
    assert starts(queue, 2) == "o"
    queue.launcher.bad_user_code_run_ids.clear()
    assert starts(queue, 3) == "bob"


def test_explain_tells_whose_turn_it_is(run_queue: MakeRunQueue) -> None:
    """Of the oldest run of a backfill, which no other run of it goes before."""
    queue = run_queue(max_concurrent_runs=1, code_location_limits={"default": {"backfill_share": 0.25}})
    (of_backfill,) = queue.queue(A, tags=OF_BACKFILL)
    (other,) = queue.queue(A)
    (blocker,) = explained(queue, of_backfill).held_by
    assert (blocker.kind, blocker.what) == (
        "backfill_share",
        f"runs of backfills and the other runs of {A} take turns (backfill_share 0.25), and it is the turn of the"
        " other runs",
    )
    assert explained(queue, other).held_by == []
    assert queue.tick_ids() == [other]
