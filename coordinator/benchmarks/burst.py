"""How fast a burst of short runs gets through beside a flood of another code location."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus
from tests.run_queue import A, B, RunQueue

from benchmarks.copies import copy_runs, let_end
from benchmarks.distance import further_away
from benchmarks.filled_queue import create_database
from benchmarks.instances import open_queue, postgresql_storage, write_home
from benchmarks.measure import PLAIN, Bench, Goal, Row
from benchmarks.tick import SHARINGS

FLOODS = {3_000: 3.0, 20_000: 8.0}
"""The queued runs of the flood, and the goal: how many times plain's starts a second."""
AWAY = {3_000: 4.0}
"""The same with the database at a distance of `ROUND_TRIP`."""
ROUND_TRIP = 0.002
"""What is added to the way to the database and back, in seconds."""
LIMITS = {A: 2, B: 25}
"""Of the flood, whose runs in progress stay so, and of the burst, whose runs end right after the tick."""
BURST = 250
THREADS = {"dequeue_use_threads": True, "dequeue_num_workers": 4}
"""As the official chart has it."""


def run(bench: Bench) -> Iterator[Row]:
    """One value a tick: the runs that it started divided by its seconds. Its ticks start the whole burst."""
    for flood, least in FLOODS.items():
        yield from _beside(bench, min(flood, bench.at_most), Goal(least_ratio=least), bench.server.port)
    with further_away(bench.server, ROUND_TRIP) as port:
        for flood, least in AWAY.items():
            yield from _beside(bench, min(flood, bench.at_most), Goal(least_ratio=least), port)


def _beside(bench: Bench, flood: int, goal: Goal, port: int) -> Iterator[Row]:
    ticks = bench.rounds(BURST // LIMITS[B])
    burst = (ticks + 1) * LIMITS[B]  # the first tick does not count
    total = {"max_concurrent_runs": sum(LIMITS.values()), **THREADS}
    static = [{"key": CLT_TAG_KEY, "value": name, "limit": limit} for name, limit in LIMITS.items()]
    limits: dict[str, dict[str, Any]] = {
        sharing: {"locations": LIMITS, "sharing": sharing} for sharing in SHARINGS
    }
    limits["fair, no connection kept"] = {**limits["fair"], "daemon_connections": 0}
    configs = {name: {**total, "code_location_limits": option} for name, option in limits.items()}
    configs[PLAIN] = {**total, "tag_concurrency_limits": static}
    queues = {name: _fill(bench, name, config, (flood, burst), port) for name, config in configs.items()}
    what = f"{burst - LIMITS[B]:,} runs beside {flood:,}"
    if port != bench.server.port:
        what += f", {ROUND_TRIP * 1000:g} ms away"
    rates = bench.interleave(what, ticks, {name: _rate(queue) for name, queue in queues.items()})
    for name in limits:
        reaches = goal if name in SHARINGS else None
        yield Row("burst", f"{what}, {name}", "runs/s", rates[name], rates[PLAIN], goal=reaches)
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


def _fill(bench: Bench, name: str, config: dict[str, Any], runs: tuple[int, int], port: int) -> RunQueue:
    """A database for one coordinator, as its ticks make the queue shorter; runs are those of flood and burst."""
    database = create_database(bench, " beside ".join(f"{number:,} runs" for number in runs))
    home = bench.folder / database
    url = bench.server.url(database)
    storage = postgresql_storage(url.replace(f":{bench.server.port}/", f":{port}/"))
    queue = open_queue(write_home(home, "plain" if name == PLAIN else "clt", storage, config))
    queue.put(A, DagsterRunStatus.STARTED, LIMITS[A], tag=A)
    for code_location, number in zip((A, B), runs, strict=True):
        copy_runs(queue.instance, queue.put(code_location, DagsterRunStatus.QUEUED, tag=code_location), number - 1)
    bench.server.execute("VACUUM ANALYZE", database)
    return queue
