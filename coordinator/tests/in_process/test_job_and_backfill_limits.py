"""Limits on the jobs and the backfills of a code location, through real ticks."""

from collections.abc import Callable

import pytest
from clt_queued_run_coordinator.daemon.candidates import CANDIDATES_PER_TICK
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunTagsTable
from dagster._core.storage.tags import BACKFILL_ID_TAG
from tests.in_process.statements import Statements
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue

pytestmark = on_one_storage

MakeRunQueue = Callable[..., RunQueue]

in_both_orders = pytest.mark.parametrize("sharing", ["fifo", "fair"])


def of_backfill(queue: RunQueue, code_location: str, backfill: str, runs: int) -> list[str]:
    """Queue runs of a backfill; returns their ids."""
    return queue.queue(code_location, runs, tags={BACKFILL_ID_TAG: backfill})


def of_job(queue: RunQueue, code_location: str, job: str, runs: int) -> list[str]:
    """Queue runs of a job; returns their ids."""
    return queue.queue(code_location, runs, job_name=job)


@in_both_orders
def test_a_job_at_its_limit_holds_nobody_up(run_queue: MakeRunQueue, sharing: str) -> None:
    """However many of its runs are queued in front: more than a tick looks at."""
    limits = {"locations": {A: {"max_per_job": 1}}, "sharing": sharing}
    queue = run_queue(max_concurrent_runs=4, code_location_limits=limits)
    first, *_ = of_job(queue, A, "held", 1)
    queue.copy(first, 2 * CANDIDATES_PER_TICK)
    (other,) = of_job(queue, A, "other", 1)
    (of_b,) = queue.queue(B)
    assert sorted(queue.tick_ids()) == sorted([first, other, of_b])
    assert queue.tick_ids() == []
    queue.instance.report_run_canceled(queue.run(first))
    assert len(queue.tick_ids()) == 1


def test_jobs_have_a_default_and_exceptions(run_queue: MakeRunQueue) -> None:
    """0 holds a job; without a total and a limit of the code location as well."""
    queue = run_queue(
        max_concurrent_runs=-1,
        code_location_limits={"default": {"max_per_job": {"default": 2, "jobs": {"one": 1, "held": 0}}}},
    )
    held = of_job(queue, A, "held", 2)
    one = of_job(queue, A, "one", 2)
    others = of_job(queue, A, "other", 3)
    of_b = of_job(queue, B, "one", 2)
    assert sorted(queue.tick_ids()) == sorted([one[0], *others[:2], of_b[0]])
    assert all(queue.run(run_id).status is DagsterRunStatus.QUEUED for run_id in held)


def test_each_backfill_has_the_limit(run_queue: MakeRunQueue) -> None:
    """Counted with what is in progress already; runs of none are free."""
    queue = run_queue(code_location_limits={"locations": {A: {"max_per_backfill": 2}}}, max_concurrent_runs=20)
    one = of_backfill(queue, A, "it's 100% odd/é", 4)
    two = of_backfill(queue, A, "two", 1)
    free = queue.queue(A, 3)
    assert sorted(queue.tick_ids()) == sorted([*one[:2], *two, *free])
    queue.instance.report_run_canceled(queue.run(one[1]))
    assert queue.tick_ids() == [one[2]]
    assert len(of_backfill(queue, B, "it's 100% odd/é", 3)) == len(queue.tick_ids())


def test_both_limits_and_that_of_the_code_location_hold(run_queue: MakeRunQueue) -> None:
    """Within Dagster's order: priority, then age."""
    queue = run_queue(
        code_location_limits={"locations": {A: {"limit": 3, "max_per_job": 2, "max_per_backfill": 1}}},
        max_concurrent_runs=20,
    )
    tags = {BACKFILL_ID_TAG: "one"}
    (first,) = queue.queue(A, tags=tags, job_name="x", priority=1)
    queue.queue(A, tags=tags, job_name="y")
    (second,) = queue.queue(A, job_name="x")
    queue.queue(A, job_name="x")
    third, _ = queue.queue(A, 2, job_name="z")
    assert queue.tick_ids() == [first, second, third]
    assert queue.tick_ids() == []


def test_the_body_decides_where_the_rows_say_otherwise(run_queue: MakeRunQueue) -> None:
    """Somebody deleted the rows of the backfill."""
    queue = run_queue(code_location_limits={"locations": {A: {"max_per_backfill": 1}}}, max_concurrent_runs=20)
    first, *_ = of_backfill(queue, A, "one", 3)
    with queue.storage.connect() as connection:
        connection.execute(RunTagsTable.delete().where(RunTagsTable.c.key == BACKFILL_ID_TAG))
    (free,) = queue.queue(A)
    assert queue.tick_ids() == [first, free]


def test_what_was_in_progress_before_the_first_tick_counts(run_queue: MakeRunQueue) -> None:
    """Nothing has to be kept over a restart; by its origin, also where it isn't tagged."""
    queue = run_queue(code_location_limits={"locations": {A: {"max_per_job": 1}}}, max_concurrent_runs=20)
    queue.put(A, DagsterRunStatus.STARTED)
    queue.queue(A, 2)
    assert queue.tick_ids() == []


def test_without_such_limits_nothing_more_is_read(run_queue: MakeRunQueue) -> None:
    """Neither jobs nor backfills."""
    queue = run_queue(code_location_limits={"default": 1})
    of_backfill(queue, A, "one", 2)
    with Statements() as statements:
        queue.tick()
    read = [statement for statement in statements.executed if statement.startswith("SELECT")]
    assert not any("SELECT runs.id, runs.pipeline_name" in statement for statement in read)
