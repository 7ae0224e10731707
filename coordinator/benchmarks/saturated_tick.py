"""The daemon's tick where every code location with runs queued is at its limit."""

from collections.abc import Iterator

from benchmarks.filled_queue import Slots, fill
from benchmarks.measure import OURS, PLAIN, Bench, Goal, Row
from benchmarks.tick import timed_tick

CASES = {500: (None, 5), 5_000: (Goal(ratio=0.07), 5), 30_000: (Goal(ratio=0.025), 2)}
"""For each number of runs queued the goal and how many rounds are measured."""


def run(bench: Bench) -> Iterator[Row]:
    """Each size with few and with many code locations."""
    for queued, (goal, rounds) in bench.sizes(CASES).items():
        for code_locations in (2, 100):
            filled = fill(bench, queued, code_locations, Slots.FULL)
            queues = {
                OURS: filled.open(bench, "clt", filled.config()),
                PLAIN: filled.open(bench, "plain", filled.plain_config()),
            }
            what = f"{queued:,} queued, {code_locations} code locations"
            seconds = bench.interleave(what, rounds, {name: timed_tick(queue) for name, queue in queues.items()})
            yield Row("saturated_tick", what, "s", seconds[OURS], seconds[PLAIN], goal=goal)
            for queue in queues.values():
                queue.instance.dispose()
