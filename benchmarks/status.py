"""What `dagster-clt status` reads, against the same counts through Dagster's API."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

from clt_queued_run_coordinator import queue_state
from clt_queued_run_coordinator._dagster import IN_PROGRESS_STATUSES, DagsterInstance, DagsterRunStatus, RunsFilter
from clt_queued_run_coordinator.status import status
from clt_queued_run_coordinator.tagging import CLT_TAG_KEY

from benchmarks.filled_queue import fill
from benchmarks.measure import OURS, Bench, Goal, Row

Counted = dict[str, tuple[int, int]]
"""Runs queued and in progress of each code location."""
COUNTS = "get_runs_count for each code location"
RUNS = "get_runs, counted here"


def run(bench: Bench) -> Iterator[Row]:
    """One reading of each, which must agree."""
    queued, code_locations = (500, 10) if bench.quick else (50_000, 100)
    filled = fill(bench, queued, code_locations, held=False)
    queue = filled.open(bench, "clt", filled.config("fair"))
    readings: dict[str, Callable[[], Counted]] = {
        OURS: lambda: _ours(queue.instance, queue.coordinator.settings),
        COUNTS: lambda: _counts(queue.instance, filled.code_locations),
        RUNS: lambda: _runs(queue.instance),
    }
    expected = readings[OURS]()
    assert sum(queued for queued, _ in expected.values()) == queued

    def timed(reading: Callable[[], Counted]) -> Callable[[], float]:
        def measure() -> float:
            begin = time.perf_counter()
            counted = reading()
            seconds = time.perf_counter() - begin
            assert counted == expected
            return seconds

        return measure

    what = f"{queued:,} queued, {code_locations} code locations"
    seconds = bench.interleave(what, 5, {name: timed(reading) for name, reading in readings.items()})
    for name in (COUNTS, RUNS):
        yield Row("status", what, "s", seconds[OURS], seconds[name], name, Goal(ratio=0.05))
    queue.instance.dispose()


def _ours(instance: DagsterInstance, settings: queue_state.Settings) -> Counted:
    seen = status(queue_state.read(instance, settings), datetime.now(timezone.utc))
    return {one.code_location: (one.queued, one.in_progress) for one in seen.code_locations}


def _counts(instance: DagsterInstance, code_locations: list[str]) -> Counted:
    def count(code_location: str, statuses: list[DagsterRunStatus]) -> int:
        return instance.get_runs_count(RunsFilter(tags={CLT_TAG_KEY: code_location}, statuses=statuses))

    return {
        name: (count(name, [DagsterRunStatus.QUEUED]), count(name, IN_PROGRESS_STATUSES))
        for name in code_locations
    }


def _runs(instance: DagsterInstance) -> Counted:
    def count(statuses: list[DagsterRunStatus]) -> Counter[str]:
        return Counter(run.tags[CLT_TAG_KEY] for run in instance.get_runs(RunsFilter(statuses=statuses)))

    queued, in_progress = count([DagsterRunStatus.QUEUED]), count(IN_PROGRESS_STATUSES)
    return {name: (queued[name], in_progress[name]) for name in sorted({*queued, *in_progress})}
