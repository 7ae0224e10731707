"""The daemon's tick beside a full pool, and how many ticks it takes until all that can start has started."""

from collections.abc import Callable, Iterator

from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus

from benchmarks.copies import copy_runs
from benchmarks.filled_queue import LIMIT, FilledQueue, create_database, names_of, put_in_turns
from benchmarks.measure import PLAIN, Bench, Goal, Row
from benchmarks.tick import SHARINGS, open_ours, timed_start
from tests.run_queue import RunQueue

QUEUED = 5_000
CODE_LOCATIONS = 100
BLOCKED = 10
"""How many of the code locations, the first ones, have runs that need the full pool."""
POOL = "database"
OTHER = "code-location-other"
"""Its run holds the pool's one slot."""
ENOUGH = 10
"""Ticks after which counting is given up."""


def run(bench: Bench) -> Iterator[Row]:
    """The seconds of a tick that starts one run; then the ticks that it takes to fill all slots."""
    queued = min(QUEUED, bench.at_most)
    case = f"{queued:,} queued, {BLOCKED} of {CODE_LOCATIONS} code locations blocked"
    filled = _fill(bench, queued, all_free=False)
    queues = {PLAIN: filled.open(bench, "plain", filled.plain_config()), **open_ours(bench, filled)}
    what = f"{case}, tick"
    seconds = bench.interleave(what, 7, {name: timed_start(queue) for name, queue in queues.items()})
    for sharing in SHARINGS:
        yield Row("pools", f"{what}, {sharing}", "s", seconds[sharing], seconds[PLAIN], goal=Goal(ratio=0.3))
    for queue in queues.values():
        queue.instance.dispose()

    for behind in (False, True):
        what = f"{case}{f' by their first {LIMIT} runs' if behind else ''}, until every startable run has started"
        ticks = {name: count() for name, count in _counting(bench, what, queued, behind=behind).items()}
        for sharing in SHARINGS:
            yield Row("pools", f"{what}, {sharing}", "ticks", [ticks[sharing]], [ticks[PLAIN]], goal=Goal(most=2))


def _counting(bench: Bench, what: str, queued: int, *, behind: bool) -> dict[str, Callable[[], float]]:
    """For each coordinator the counting of its ticks, each in a database of its own."""
    each = queued // CODE_LOCATIONS
    startable = min(LIMIT, each) * (CODE_LOCATIONS - BLOCKED)
    if behind:
        startable += min(LIMIT, each - LIMIT) * BLOCKED

    def count(name: str) -> float:
        filled = _fill(bench, queued, all_free=True, behind=behind)
        if name == PLAIN:
            queue = filled.open(bench, "plain", filled.plain_config())
        else:
            queue = filled.open(bench, "clt", filled.config(name))
        started = 0
        for tick in range(ENOUGH):
            bench.show(f"{what}: {name}", tick, ENOUGH)
            started += len(queue.tick_ids())
            assert started <= startable
            if started == startable:
                break
        queue.instance.dispose()
        return float(tick + 1)

    return {name: lambda name=name: count(name) for name in (PLAIN, *SHARINGS)}  # type: ignore[misc]


def _fill(bench: Bench, queued: int, *, all_free: bool, behind: bool = False) -> FilledQueue:
    """A queue whose first code locations have runs that need a full pool, with slots for them.

    Args:
        bench: Where to.
        queued: How many runs, taken in turns from the code locations.
        all_free: Nothing is in progress; else the others are at their limit, but one that has one slot free.
        behind: Just the first runs of the blocked code locations, as many as their limit, need the pool.
    """
    names = names_of(CODE_LOCATIONS)
    database = create_database(bench, f"{queued:,} runs beside a full pool")
    filled = FilledQueue(
        bench.server.url(database),
        names,
        max_concurrent_runs=LIMIT * CODE_LOCATIONS + 1,
        concurrency={"pools": {"granularity": "run"}},
    )
    queue = filled.open(bench, "plain", {})
    queue.instance.event_log_storage.set_concurrency_slots(POOL, 1)
    queue.create(OTHER, pool=POOL, status=DagsterRunStatus.STARTED, tags={CLT_TAG_KEY: OTHER})
    if not all_free:
        for name in names[BLOCKED:]:
            queue.put(name, DagsterRunStatus.STARTED, LIMIT - (name == names[-1]), tag=name)
    needing = [_queue_for_the_pool(queue, name) for name in names[:BLOCKED]]
    if behind:
        copy_runs(queue.instance, needing, BLOCKED * (LIMIT - 1))
        put_in_turns(queue, names, queued - BLOCKED * LIMIT)
    else:
        free = [queue.put(name, DagsterRunStatus.QUEUED, tag=name)[0] for name in names[BLOCKED:]]
        copy_runs(queue.instance, [*needing, *free], queued - CODE_LOCATIONS)
    queue.instance.dispose()
    bench.server.execute("VACUUM ANALYZE", database)
    return filled


def _queue_for_the_pool(queue: RunQueue, code_location: str) -> str:
    return queue.create(
        code_location, pool=POOL, status=DagsterRunStatus.QUEUED, tags={CLT_TAG_KEY: code_location}
    ).run_id
