"""What `dagster-clt explain` reads and works out, beside what `dagster-clt status` reads of the same queue."""

import time
from collections.abc import Callable, Iterator

import sqlalchemy as db
from clt_queued_run_coordinator.operate.explanation import explain
from clt_queued_run_coordinator.operate.stored_run import find_runs
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunsTable
from tests.run_queue import RunQueue

from benchmarks.filled_queue import Slots, fill
from benchmarks.measure import NOTHING, Bench, Goal, Row
from benchmarks.status import timed_reading

STATUS = "what status reads"


def run(bench: Bench) -> Iterator[Row]:
    """The last run of two code locations, one at its limit, and one with room for a single run; see `_rows`."""
    for finished in (0, 10_000 if bench.quick else 1_000_000):
        yield from _rows(bench, finished)


def _rows(bench: Bench, finished: int) -> Iterator[Row]:
    """Without and with a history of finished runs."""
    queued, code_locations = min(50_000, bench.at_most), 100
    filled = fill(bench, queued, code_locations, Slots.ONE_FREE, finished=finished)
    queue = filled.open(bench, "clt", filled.config("fifo"))
    last, before = _last_runs(queue, 2)
    cases = {
        "held by its limit": (before, "limit"),
        "behind others, so the next tick is worked out": (last, "order"),
    }
    measured = {case: _timed(queue, run_id, kind) for case, (run_id, kind) in cases.items()}
    measured[STATUS] = timed_reading(queue)
    what = f"{finished:,} finished, {queued:,} queued, {code_locations} code locations"
    seconds = bench.interleave(what, 7, measured)
    for case in cases:
        yield Row("explain", f"{what}, {case}", "s", seconds[case], [], NOTHING, Goal(most=0.3))
    yield Row("explain", f"{what}, {STATUS}", "s", seconds[STATUS], [], NOTHING)
    queue.instance.dispose()


def _timed(queue: RunQueue, run_id: str, expected: str) -> Callable[[], float]:
    def measure() -> float:
        begin = time.perf_counter()
        (stored,) = find_runs(queue.instance, run_id)
        explanation = explain(queue.instance, queue.coordinator, stored)
        seconds = time.perf_counter() - begin
        assert explanation
        assert expected in [blocker.kind for blocker in explanation.held_by]
        return seconds

    return measure


def _last_runs(queue: RunQueue, number: int) -> list[str]:
    """The last queued runs, the last one first; each is of another code location."""
    query = db.select(RunsTable.c.run_id).where(RunsTable.c.status == DagsterRunStatus.QUEUED.value)
    with queue.storage.connect() as connection:
        return list(connection.execute(query.order_by(RunsTable.c.id.desc()).limit(number)).scalars())
