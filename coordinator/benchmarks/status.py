"""What `dagster-clt status` reads, against the same counts through Dagster's API.

The API counts the runs of one filter at a time; reading all runs to count them here takes longer still.
"""

import time
from collections.abc import Callable, Iterator

from clt_queued_run_coordinator._dagster import IN_PROGRESS_STATUSES
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.operate import now
from clt_queued_run_coordinator.operate.status import status
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from tests.run_queue import RunQueue

from benchmarks.filled_queue import Slots, fill
from benchmarks.measure import OURS, Bench, Goal, Row

Counted = dict[str, tuple[int, int]]
"""Runs queued and in progress of each code location."""
COUNTS = "get_runs_count for each code location"


def run(bench: Bench) -> Iterator[Row]:
    """One reading of each, which must agree."""
    queued, code_locations = min(50_000, bench.at_most), 100
    filled = fill(bench, queued, code_locations, Slots.FULL)
    queue = filled.open(bench, "clt", filled.config("fair"))
    readings: dict[str, Callable[[], Counted]] = {
        OURS: lambda: _ours(queue.instance, queue.coordinator.settings),
        COUNTS: lambda: _counts(queue.instance, filled.code_locations),
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
    yield Row("status", what, "s", seconds[OURS], seconds[COUNTS], COUNTS, Goal(ratio=0.05))
    queue.instance.dispose()


def timed_reading(queue: RunQueue) -> Callable[[], float]:
    """What `dagster-clt status` reads; returns its seconds."""

    def read() -> float:
        begin = time.perf_counter()
        now.read(queue.instance, queue.coordinator.settings)
        return time.perf_counter() - begin

    return read


def _ours(instance: DagsterInstance, settings: Settings) -> Counted:
    seen = status(now.read(instance, settings))
    return {one.code_location: (one.queued, one.in_progress) for one in seen.code_locations}


def _counts(instance: DagsterInstance, code_locations: list[str]) -> Counted:
    def count(code_location: str, statuses: list[DagsterRunStatus]) -> int:
        return instance.get_runs_count(RunsFilter(tags={CLT_TAG_KEY: code_location}, statuses=statuses))

    return {
        name: (count(name, [DagsterRunStatus.QUEUED]), count(name, IN_PROGRESS_STATUSES))
        for name in code_locations
    }
