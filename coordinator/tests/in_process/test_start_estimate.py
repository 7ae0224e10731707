"""When a queued run will start: what is read for it, when nothing is said, and how often it is right."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from clt_queued_run_coordinator._dagster import REPOSITORY_LABEL_TAG
from clt_queued_run_coordinator.operate.explanation import explain
from clt_queued_run_coordinator.operate.stored_run import find_runs
from clt_queued_run_coordinator.policy.changes import Kind
from clt_queued_run_coordinator.policy.estimate import Estimate
from clt_queued_run_coordinator.store import live
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunsTable
from tests.in_process.storages import on_one_storage
from tests.in_process.test_explain import beat, explained
from tests.played import played
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]
MINUTE = [60.0] * 6
"""Six runs that took a minute each."""


def finish(
    queue: RunQueue, name: str, seconds: Sequence[float], job: str = "job", tags: dict[str, str] | None = None
) -> None:
    """Put runs into the history that took so long."""
    for took in seconds:
        run_id = queue.create(name, status=DagsterRunStatus.SUCCESS, job_name=job, tags=tags or {}).run_id
        with queue.storage.connect() as connection:
            of_run = RunsTable.update().where(RunsTable.c.run_id == run_id)
            connection.execute(of_run.values(start_time=1_000.0, end_time=1_000.0 + took))


def estimated(queue: RunQueue, run_id: str) -> Estimate:
    """What is estimated of a run while the daemon is alive."""
    return explained(queue, run_id).estimate


def test_a_run_behind_others(run_queue: MakeRunQueue) -> None:
    """By how long the runs of its job took; the runs of others of the same name don't count."""
    queue = run_queue(code_location_limits={"default": 1}, dequeue_interval_seconds=5)
    finish(queue, A, MINUTE)
    finish(queue, B, [9_000.0] * 55)
    finish(queue, B, [9_000.0] * 6, tags={REPOSITORY_LABEL_TAG: f"repository@{A}"})
    _, first, second = queue.queue(A, 3)
    queue.tick()
    said = estimated(queue, first)
    assert said.measured_runs == 6
    assert said.why_not is None
    assert said.latest_seconds
    assert 40 <= said.latest_seconds <= 80
    later = estimated(queue, second)
    assert later.earliest_seconds
    assert later.earliest_seconds >= 100


def test_a_run_that_nothing_holds(run_queue: MakeRunQueue) -> None:
    """Starts at the next tick, however little has been measured."""
    queue = run_queue(code_location_limits={}, dequeue_interval_seconds=7)
    (run_id,) = queue.queue(A)
    assert estimated(queue, run_id) == Estimate(0, 7)


def test_too_few_measured_runs(run_queue: MakeRunQueue) -> None:
    """Then nothing is said but that."""
    queue = run_queue(code_location_limits={"default": 1})
    finish(queue, A, MINUTE[:4])
    _, run_id = queue.queue(A, 2)
    queue.tick()
    said = estimated(queue, run_id)
    assert (said.earliest_seconds, said.latest_seconds) == (None, None)
    assert said.why_not
    assert "fewer than 5 finished runs of it have been found" in said.why_not


@on_one_storage
def test_a_pause(run_queue: MakeRunQueue) -> None:
    """With an end the run starts then; without one nobody knows."""
    queue = run_queue(code_location_limits={})
    (run_id,) = queue.queue(A)
    live.pause(queue.instance, A, until=timedelta(hours=1))
    said = estimated(queue, run_id)
    assert said.earliest_seconds
    assert said.latest_seconds
    assert 3000 < said.earliest_seconds <= 3600 <= said.latest_seconds + 30
    live.pause(queue.instance, A)
    assert (estimated(queue, run_id).why_not or "").startswith(f"nobody knows when this ends: {A} is paused by")


@on_one_storage
def test_a_limit_of_zero(run_queue: MakeRunQueue) -> None:
    """Somebody has to raise it."""
    queue = run_queue(code_location_limits={"default": 0})
    (run_id,) = queue.queue(A)
    assert "nobody knows when this ends: the limit of code-location-a is 0" in (
        estimated(queue, run_id).why_not or ""
    )


@on_one_storage
def test_a_full_pool(run_queue: MakeRunQueue) -> None:
    """Its slots are held by steps, which nobody has measured."""
    queue = run_queue({"pools": {"granularity": "run"}}, code_location_limits={})
    queue.instance.event_log_storage.set_concurrency_slots("database", 1)
    queue.queue(B, pool="database")
    queue.tick()
    (run_id,) = queue.queue(A, pool="database")
    assert estimated(queue, run_id).why_not == "nobody knows when this ends: the pool database is full: 1 slot"


@on_one_storage
def test_a_silent_daemon(run_queue: MakeRunQueue) -> None:
    """Nothing starts without it."""
    queue = run_queue(code_location_limits={})
    (run_id,) = queue.queue(A)
    beat(queue.instance, ago=600)
    (stored,) = find_runs(queue.instance, run_id)
    explanation = explain(queue.instance, queue.coordinator, stored)
    assert explanation
    assert explanation.estimate.why_not
    assert "the daemon is not reading the run queue" in explanation.estimate.why_not


@on_one_storage
def test_a_breaker_that_lets_manual_launches_through(run_queue: MakeRunQueue) -> None:
    """A run launched by hand waits for its turn, others for the breaker."""
    breaker = {"failures": 1, "manual_launches": True}
    queue = run_queue(code_location_limits={"locations": {A: {"limit": 1, "breaker": breaker}}})
    finish(queue, A, MINUTE)
    queue.queue(A)
    queue.tick()
    live.write(queue.instance, Kind.BREAKER, A, True)
    (by_hand,) = queue.queue(A)
    (scheduled,) = queue.queue(A, tags={"dagster/schedule_name": "nightly"})
    assert estimated(queue, by_hand).latest_seconds
    assert "the circuit breaker of code-location-a is open" in (estimated(queue, scheduled).why_not or "")


def test_the_true_start_lies_within_the_range() -> None:
    """For at least 85 of 100 runs of random workloads, which real ticks of the daemon start."""
    runs = [run for seed in range(8) for run in played(seed, estimates=10)]
    ranges = [
        (run.estimate.earliest_seconds, run.started, run.estimate.latest_seconds)
        for run in runs
        if run.estimate.earliest_seconds is not None and run.estimate.latest_seconds is not None
    ]
    assert len(ranges) > 0.9 * len(runs)
    within = sum(earliest <= started <= latest for earliest, started, latest in ranges)
    assert within >= 0.85 * len(ranges), f"{within} of {len(ranges)}"
