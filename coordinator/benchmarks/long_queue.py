"""A tick beside a very long queue, and the first tick of a new daemon."""

import time
from collections.abc import Iterator
from functools import partial

from tests.run_queue import RunQueue

from benchmarks.copies import let_end
from benchmarks.filled_queue import Slots, fill
from benchmarks.measure import NOTHING, Bench, Goal, Row

CODE_LOCATIONS = 200
SHORT, LONG = 5_000, 200_000
"""The queued runs that are compared."""


def run(bench: Bench) -> Iterator[Row]:
    """Ours alone, with one slot free, which each tick uses; `--at-most` shortens the long queue."""
    long = LONG if bench.at_most >= min(50_000, LONG) else bench.at_most
    queues: dict[int, RunQueue] = {}
    for queued in dict.fromkeys((min(SHORT, long), long)):
        filled = fill(bench, queued, CODE_LOCATIONS, Slots.ONE_FREE)
        queues[queued] = filled.open(bench, "clt", filled.config("fair"))
        first = _tick(queues[queued])
        goal = Goal(most=5.0) if queued == long else None
        yield Row("long_queue", f"{queued:,} queued, first tick of a daemon", "s", [first], [], NOTHING, goal)
    measured = {f"{queued:,}": partial(_tick, queue) for queued, queue in queues.items()}
    seconds = bench.interleave(f"{CODE_LOCATIONS} code locations", 15, measured)
    short, *rest = seconds
    for name in rest:
        yield Row(
            "long_queue",
            f"{CODE_LOCATIONS} code locations, {name} queued, one slot free",
            "s",
            seconds[name],
            seconds[short],
            f"{short} queued",
            Goal(ratio=1.5),
        )
    for queue in queues.values():
        queue.instance.dispose()


def _tick(queue: RunQueue) -> float:
    begin = time.perf_counter()
    started = queue.tick_ids()
    seconds = time.perf_counter() - begin
    let_end(queue.instance, started, queue_again=True)
    return seconds
