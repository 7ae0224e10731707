"""The daemon's tick where it reads the queue."""

import time
from collections.abc import Callable, Iterator

from benchmarks.filled_queue import LIMIT, fill
from benchmarks.measure import PLAIN, Bench, Goal, Row
from tests.run_queue import RunQueue

ROUNDS = {0: 15, 500: 15, 5_000: 15, 50_000: 5}
"""Runs queued, and how many rounds are measured with them."""


def run(bench: Bench) -> Iterator[Row]:
    """Each size with few and with many code locations; static limits first, then the same ones live."""
    for queued, rounds in bench.sizes(ROUNDS).items():
        for code_locations in (2, 100):
            filled = fill(bench, queued, code_locations, held=True)
            plain = filled.open(bench, "plain", filled.plain_config())
            for limits in ("static", "live"):
                configured = LIMIT
                if limits == "live":
                    filled.set_live_limits(plain.instance)
                    configured = LIMIT + 1
                ours = {
                    sharing: filled.open(bench, "clt", filled.config(sharing, configured))
                    for sharing in ("fifo", "fair")
                }
                what = f"{queued:,} queued, {code_locations} code locations, {limits}"
                measured = {name: timed_tick(queue) for name, queue in {PLAIN: plain, **ours}.items()}
                seconds = bench.interleave(what, rounds, measured)
                goal = Goal(ratio=1.05) if queued >= 5_000 else Goal(more=0.015)
                for sharing, queue in ours.items():
                    yield Row("tick", f"{what}, {sharing}", "s", seconds[sharing], seconds[PLAIN], goal=goal)
                    queue.instance.dispose()
            plain.instance.dispose()


def timed_tick(queue: RunQueue) -> Callable[[], float]:
    """A tick that starts nothing; returns its seconds."""

    def tick() -> float:
        begin = time.perf_counter()
        started = queue.tick_ids()
        seconds = time.perf_counter() - begin
        assert not started
        return seconds

    return tick
