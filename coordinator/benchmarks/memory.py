"""How much the daemon's process grows by reading a long queue."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.filled_queue import Slots, fill
from benchmarks.instances import postgresql_storage, write_home
from benchmarks.measure import OURS, PLAIN, Bench, Goal, Row
from benchmarks.workers import Worker

TICKS = 3


def run(bench: Bench) -> Iterator[Row]:
    """A new process each round; the queue is one that has to be read."""
    queued = min(50_000, bench.at_most)
    filled = fill(bench, queued, 2, Slots.HELD)
    numbers = itertools.count()

    def grown(coordinator: str, config: dict[str, Any]) -> Callable[[], float]:
        def measure() -> float:
            home = bench.folder / f"worker-{next(numbers)}"
            worker = Worker(write_home(home, coordinator, postgresql_storage(filled.url), config))
            try:
                return float(worker.ask("memory", ticks=TICKS))
            finally:
                worker.stop()

        return measure

    what = f"{queued:,} queued, {TICKS} ticks"
    megabytes = bench.interleave(
        what, 3, {OURS: grown("clt", filled.config("fair")), PLAIN: grown("plain", filled.plain_config())}
    )
    yield Row("memory", what, "MB", megabytes[OURS], megabytes[PLAIN], goal=Goal(more=10))
