"""Dagster's own reading of the queue in larger pages, and what that does to runs beside a full pool.

`DAGSTER_RUN_QUEUE_PAGE_SIZE` is what the daemon takes as its page size; here it is given to it directly.
"""

import time
from collections.abc import Callable, Iterator

from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY
from dagster import DagsterRunStatus
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from tests.run_queue import A, RunQueue

from benchmarks.copies import copy_runs
from benchmarks.filled_queue import Slots, fill
from benchmarks.instances import open_queue, postgresql_storage, write_home
from benchmarks.measure import Bench, Row
from benchmarks.tick import timed_tick

SMALL, LARGE = 100, 1_000
POOL = "database"
LIMIT = 10
"""The limit of the one code location beside the pool: so many runs can start in a tick."""


def run(bench: Bench) -> Iterator[Row]:
    """The seconds of a tick without pools; then, with a full pool, its seconds and how many runs it can start."""
    against = f"pages of {SMALL}"
    queued = min(5_000, bench.at_most)
    filled = fill(bench, queued, 2, Slots.HELD)
    ticks = {}
    for size in (SMALL, LARGE):
        queue = filled.open(bench, "plain", filled.plain_config())
        queue.daemon = QueuedRunCoordinatorDaemon(1, page_size=size)
        ticks[str(size)] = timed_tick(queue)
    seconds = bench.interleave(f"{queued:,} queued", 7, ticks)
    case = f"pages of {LARGE:,}: {queued:,} queued"
    yield Row("page_size", f"{case}, tick", "s", seconds[str(LARGE)], seconds[str(SMALL)], against)

    places = {500: ["every second"], 5_000: ["every second", "the first 150"]}
    for place, queued in [(place, queued) for queued, some in bench.sizes(places).items() for place in some]:
        queue = _beside_a_full_pool(bench, place, queued)
        can_start: dict[int, list[float]] = {SMALL: [], LARGE: []}
        case = f"pages of {LARGE:,}: {queued:,} queued, {place} for a full pool"
        seconds = bench.interleave(
            case, 5, {str(size): _looking(queue, size, found) for size, found in can_start.items()}
        )
        yield Row("page_size", f"{case}, tick", "s", seconds[str(LARGE)], seconds[str(SMALL)], against)
        yield Row("page_size", f"{case}, can start", "runs", can_start[LARGE], can_start[SMALL], against)
        queue.instance.dispose()


def _looking(queue: RunQueue, page_size: int, found: list[float]) -> Callable[[], float]:
    """The part of a tick that says which runs can start; starts none, so that every look sees the same."""
    daemon = QueuedRunCoordinatorDaemon(1, page_size=page_size)

    def look() -> float:
        begin = time.perf_counter()
        runs = daemon._get_runs_to_dequeue(queue.instance, queue.instance.get_concurrency_config(), None)
        seconds = time.perf_counter() - begin
        found.append(float(len(runs)))
        return seconds

    return look


def _beside_a_full_pool(bench: Bench, place: str, queued: int) -> RunQueue:
    """A queue of one code location; its pool has one slot, which a run in progress of another one holds."""
    database = f"pool_{len(list(bench.folder.iterdir()))}"
    bench.show(f"filling {database}", 0, 1)
    bench.server.execute(f"CREATE DATABASE {database}")
    limit = {"key": CLT_TAG_KEY, "value": A, "limit": LIMIT}
    runs = {"max_concurrent_runs": 5 * LIMIT, "tag_concurrency_limits": [limit]}
    concurrency = {"pools": {"granularity": "run"}, "runs": runs}
    storage = postgresql_storage(bench.server.url(database))
    home = write_home(bench.folder / database, "plain", storage, concurrency=concurrency)
    queue = open_queue(home)
    queue.instance.event_log_storage.set_concurrency_slots(POOL, 1)
    queue.create("code-location-other", pool=POOL, status=DagsterRunStatus.STARTED)
    originals = [
        queue.create(A, pool=pool, status=DagsterRunStatus.QUEUED, tags={CLT_TAG_KEY: A}).run_id
        for pool in (POOL, None)
    ]
    if place == "every second":
        copy_runs(queue.instance, originals, queued - 2)
    else:
        copy_runs(queue.instance, originals[:1], 149)
        copy_runs(queue.instance, originals[1:], queued - 151)
    bench.server.execute("VACUUM ANALYZE", database)
    return queue
