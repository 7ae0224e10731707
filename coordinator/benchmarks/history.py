"""The daemon's tick, and `status`, beside very many finished runs: ours against ours without them."""

from collections.abc import Iterator

from benchmarks.filled_queue import Slots, fill
from benchmarks.measure import Bench, Goal, Row
from benchmarks.status import timed_reading
from benchmarks.tick import SHARINGS, open_ours, timed_start

QUEUED = 5_000
CODE_LOCATIONS = 100
FINISHED = 1_000_000
WITHOUT = "ours without them"


def run(bench: Bench) -> Iterator[Row]:
    """The same queue in two databases, one of them with a history; one slot is free in each."""
    queued = min(QUEUED, bench.at_most)
    finished = 2_000 if bench.quick else FINISHED
    case = f"{finished:,} finished, {queued:,} queued, {CODE_LOCATIONS} code locations"
    without = open_ours(bench, fill(bench, queued, CODE_LOCATIONS, Slots.ONE_FREE))
    beside = open_ours(bench, fill(bench, queued, CODE_LOCATIONS, Slots.ONE_FREE, finished=finished))
    for sharing in SHARINGS:
        what = f"{case}, tick, {sharing}"
        seconds = bench.interleave(
            what, 15, {"with": timed_start(beside[sharing]), "without": timed_start(without[sharing])}
        )
        yield Row("history", what, "s", seconds["with"], seconds["without"], WITHOUT, Goal(ratio=1.2))
    what = f"{case}, status"
    seconds = bench.interleave(
        what, 15, {"with": timed_reading(beside["fair"]), "without": timed_reading(without["fair"])}
    )
    yield Row("history", what, "s", seconds["with"], seconds["without"], WITHOUT)
    for queue in (*without.values(), *beside.values()):
        queue.instance.dispose()
