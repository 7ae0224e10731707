"""The daemon's tick beside a full pool, and how many ticks it takes until all that can start has started."""

from collections.abc import Iterator

from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus
from tests.run_queue import RunQueue

from benchmarks.copies import copy_runs
from benchmarks.filled_queue import LIMIT, FilledQueue, create_database, names_of, put_in_turns
from benchmarks.measure import PLAIN, Bench, Goal, Row
from benchmarks.tick import SHARINGS, open_ours, timed_start

QUEUED = 5_000
CODE_LOCATIONS = 100
BLOCKED = 10
"""How many of the code locations, the first ones, have runs that need the full pool."""
POOL = "database"
OTHER = "code-location-other"
"""Its run holds the pool's one slot."""
BLOCKING = ((None, Goal(most=2)), (LIMIT, Goal(most=2)), (20, None))
"""How many runs of each blocked code location need the pool (None: all), and the goal of the ticks."""
ENOUGH = 10
"""Counting is given up after one tick more: a figure above this one says that they have not all started."""


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

    for first, goal in BLOCKING[1:2] if bench.quick else BLOCKING:
        what = f"{case}{f' by their first {first} runs' if first else ''}, until every startable run has started"
        ticks = {name: _ticks(bench, what, queued, first, name) for name in (PLAIN, *SHARINGS)}
        for sharing in SHARINGS:
            yield Row("pools", f"{what}, {sharing}", "ticks", [ticks[sharing]], [ticks[PLAIN]], goal=goal)


def _ticks(bench: Bench, what: str, queued: int, first: int | None, name: str) -> float:
    """How many ticks one coordinator needs, in a database of its own; no run ends meanwhile.

    Args:
        bench: Where to.
        what: For the progress that is shown.
        queued: How many runs.
        first: See `_fill`.
        name: Of the coordinator.
    """
    can_start = min(LIMIT, (queued - BLOCKED * (first or 0)) // CODE_LOCATIONS)
    startable = can_start * (CODE_LOCATIONS if first else CODE_LOCATIONS - BLOCKED)
    filled = _fill(bench, queued, all_free=True, first=first)
    if name == PLAIN:
        queue = filled.open(bench, "plain", filled.plain_config())
    else:
        queue = filled.open(bench, "clt", filled.config(name))
    started = ticks = 0
    while started < startable and ticks <= ENOUGH:
        bench.show(f"{what}: {name}", ticks, ENOUGH)
        started += len(queue.tick_ids())
        assert started <= startable
        ticks += 1
    queue.instance.dispose()
    return float(ticks)


def _fill(bench: Bench, queued: int, *, all_free: bool, first: int | None = None) -> FilledQueue:
    """A queue whose first code locations have runs that need a full pool, with slots for them.

    Args:
        bench: Where to.
        queued: How many runs, taken in turns from the code locations.
        all_free: Nothing is in progress; else the others are at their limit, but one that has one slot free.
        first: So many runs of each blocked code location need the pool, those behind them don't; None: all do.
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
    if first:
        copy_runs(queue.instance, needing, BLOCKED * (first - 1))
        put_in_turns(queue, names, queued - BLOCKED * first)
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
