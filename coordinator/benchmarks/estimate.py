"""What the estimate of a start costs, and how often the true start lies within its range."""

import time
from collections.abc import Callable, Iterator
from statistics import median
from unittest import mock

import sqlalchemy as db
from clt_queued_run_coordinator._dagster import QUEUE_DAEMON
from clt_queued_run_coordinator.operate import explanation
from clt_queued_run_coordinator.operate.blockers import RunFacts
from clt_queued_run_coordinator.operate.stored_run import find_runs
from clt_queued_run_coordinator.policy.estimate import Estimate
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunsTable
from dagster._daemon.types import DaemonHeartbeat
from tests.played import played
from tests.run_queue import RunQueue

from benchmarks.filled_queue import LIMIT, Slots, fill
from benchmarks.measure import NOTHING, Bench, Goal, Row

CODE_LOCATIONS = 200
WITHOUT = "explain without it"
LEFT_OUT = "left out"
WORKLOADS = 25


def run(bench: Bench) -> Iterator[Row]:
    """First what it costs, then how good it is."""
    yield from _seconds(bench)
    yield from _quality(bench)


def _seconds(bench: Bench) -> Iterator[Row]:
    """The last queued run of a code location that is at its limit, or where the slots run out first."""
    queued, finished = min(50_000, bench.at_most), 10_000 if bench.quick else 1_000_000
    filled = fill(bench, queued, CODE_LOCATIONS, Slots.ONE_FREE, finished=finished)
    what = f"{finished:,} finished, {queued:,} queued, {CODE_LOCATIONS} code locations"
    for case, sharing, limit in (("at its limit", "fair", LIMIT), ("fifo", "fifo", 10), ("fair", "fair", 10)):
        queue = filled.open(bench, "clt", filled.config(sharing, limit))
        run_id = _last_but_one(queue)
        timed = {"with": _timed(queue, run_id), WITHOUT: _without(_timed(queue, run_id))}
        seconds = bench.interleave(f"{what}, {case}", 7, timed)
        yield Row("estimate", f"{what}, {case}", "s", seconds["with"], seconds[WITHOUT], WITHOUT, Goal(more=0.5))
        queue.instance.dispose()


def _timed(queue: RunQueue, run_id: str) -> Callable[[], float]:
    def measure() -> float:
        heartbeat = DaemonHeartbeat(time.time(), QUEUE_DAEMON, "benchmark", [])
        queue.instance.add_daemon_heartbeat(heartbeat)  # nothing is estimated while the daemon is silent
        begin = time.perf_counter()
        (stored,) = find_runs(queue.instance, run_id)
        explained = explanation.explain(queue.instance, queue.coordinator, stored)
        seconds = time.perf_counter() - begin
        assert explained
        assert explained.estimate.measured_runs or explained.estimate.why_not == LEFT_OUT, explained.estimate
        return seconds

    return measure


def _without(timed: Callable[[], float]) -> Callable[[], float]:
    def measure() -> float:
        def left_out(_instance: object, _queue: object, facts: RunFacts, **_: object) -> dict[int, Estimate]:
            return {facts.storage_id: Estimate(why_not=LEFT_OUT)}

        with mock.patch.object(explanation, "start_estimates", left_out):
            return timed()

    return measure


def _last_but_one(queue: RunQueue) -> str:
    """The last queued run of a code location at its limit."""
    query = db.select(RunsTable.c.run_id).where(RunsTable.c.status == DagsterRunStatus.QUEUED.value)
    with queue.storage.connect() as connection:
        return str(connection.execute(query.order_by(RunsTable.c.id.desc()).offset(1).limit(1)).scalar())


def _quality(bench: Bench) -> Iterator[Row]:
    """Random workloads, played through by real ticks; see `tests.played`."""
    workloads = 3 if bench.quick else WORKLOADS
    for case, arriving in (("nothing more is queued", 0.0), ("as many runs are queued as end", 0.02)):
        within: list[float] = []
        errors: list[float] = []
        for seed in range(workloads):
            bench.show(f"workloads, {case}", seed, workloads)
            for one in played(seed, arriving=arriving):
                earliest, latest = one.estimate.earliest_seconds, one.estimate.latest_seconds
                if earliest is not None and latest is not None:
                    within.append(100.0 * (earliest <= one.started <= latest))
                    errors.append(100.0 * abs((earliest + latest) / 2 - one.started) / one.started)
        what = f"{workloads} random workloads, {case}"
        yield Row("estimate", f"{what}, starts within the range", "%", [sum(within) / len(within)], [], NOTHING)
        error = f"{what}, median error of its middle"
        yield Row("estimate", error, "%", [median(errors)], [], NOTHING)
