"""How fast a burst of short runs gets through beside a flood of another code location."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus
from tests.run_queue import A, B, RunQueue

from benchmarks.copies import copy_runs, let_end
from benchmarks.filled_queue import create_database
from benchmarks.instances import open_queue, postgresql_storage, write_home
from benchmarks.measure import PLAIN, Bench, Goal, Row
from benchmarks.tick import SHARINGS

FLOOD = 20_000
LIMITS = {A: 2, B: 25}
"""Of the flood, whose runs in progress stay so, and of the burst, whose runs end right after the tick."""
BURST = 1_000
THREADS = {"dequeue_use_threads": True, "dequeue_num_workers": 4}
"""As the official chart has it."""


def run(bench: Bench) -> Iterator[Row]:
    """One value a tick: the runs that it started divided by its seconds. Its ticks start the whole burst."""
    flood = min(FLOOD, bench.at_most)
    ticks = bench.rounds(BURST // LIMITS[B])
    burst = (ticks + 1) * LIMITS[B]  # the first tick does not count
    total = sum(LIMITS.values())
    static = [{"key": CLT_TAG_KEY, "value": name, "limit": limit} for name, limit in LIMITS.items()]
    plain = {"max_concurrent_runs": total, "tag_concurrency_limits": static, **THREADS}
    ours = {"max_concurrent_runs": total, **THREADS}
    queues = {PLAIN: _fill(bench, flood, burst, "plain", plain)}
    for sharing in SHARINGS:
        limits = {"locations": LIMITS, "sharing": sharing}
        queues[sharing] = _fill(bench, flood, burst, "clt", {**ours, "code_location_limits": limits})
    what = f"{burst - LIMITS[B]:,} runs beside {flood:,}"
    rates = bench.interleave(what, ticks, {name: _rate(queue) for name, queue in queues.items()})
    for sharing in SHARINGS:
        goal = Goal(least_ratio=3.0)
        yield Row("burst", f"{what}, {sharing}", "runs/s", rates[sharing], rates[PLAIN], goal=goal)
    for queue in queues.values():
        queue.instance.dispose()


def _rate(queue: RunQueue) -> Callable[[], float]:
    def tick() -> float:
        begin = time.perf_counter()
        started = queue.tick_ids()
        seconds = time.perf_counter() - begin
        let_end(queue.instance, started, queue_again=False)
        return len(started) / seconds

    return tick


def _fill(bench: Bench, flood: int, burst: int, coordinator: str, config: dict[str, Any]) -> RunQueue:
    """A database for one coordinator, as its ticks make the queue shorter."""
    database = create_database(bench, f"{burst:,} runs beside {flood:,}")
    storage = postgresql_storage(bench.server.url(database))
    queue = open_queue(write_home(bench.folder / database, coordinator, storage, config))
    queue.put(A, DagsterRunStatus.STARTED, LIMITS[A], tag=A)
    for name, runs in ((A, flood), (B, burst)):
        copy_runs(queue.instance, queue.put(name, DagsterRunStatus.QUEUED, tag=name), runs - 1)
    bench.server.execute("VACUUM ANALYZE", database)
    return queue
