"""How long a submit takes where `max_queued` holds, beside the same without it."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from tests.run_queue import RunQueue

from benchmarks.filled_queue import FilledQueue, Slots, fill
from benchmarks.measure import Bench, Goal, Row
from benchmarks.worker import seconds_of_a_submit

SUBMITS = 16
"""Submits of each round, of all submitters together."""
CODE_LOCATIONS = 20
FINISHED = 1_000_000
OFF = "max_queued off"
ABOVE = "max_queued above the whole queue"
BELOW = "max_queued below the whole queue"


def run(bench: Bench) -> Iterator[Row]:
    """On PostgreSQL, with a queue of other code locations' runs and a history; nothing is refused."""
    for queued in [2_000] if bench.quick else bench.sizes({5_000: None, 50_000: None}):
        filled = fill(bench, queued, CODE_LOCATIONS, Slots.FULL, finished=1_000 if bench.quick else FINISHED)
        queues = {
            name: _open(bench, filled, most)
            for name, most in ((OFF, None), (ABOVE, 2 * queued), (BELOW, queued // 2))
        }
        for submitters in (1, 8):
            what = f"{queued:,} queued, {submitters} submitter{'s' if submitters > 1 else ''}"
            measured = {name: partial(_measure, queues, name, submitters) for name in queues}
            seconds = bench.interleave(what, 9, measured)
            for name in (ABOVE, BELOW):
                yield Row("max_queued", f"{what}, {name}", "s", seconds[name], seconds[OFF], OFF, Goal(ratio=1.10))
        for queue in queues.values():
            queue.instance.dispose()


def _measure(queues: Mapping[str, RunQueue], name: str, submitters: int) -> float:
    queues[BELOW].tick_ids()  # the daemon leaves its counts
    return seconds_of_a_submit(queues[name], SUBMITS // submitters, submitters)


def _open(bench: Bench, filled: FilledQueue, max_queued: int | None) -> RunQueue:
    config: dict[str, Any] = filled.config()
    config["code_location_limits"]["default"] = {"max_queued": max_queued, "limit": 0}
    return filled.open(bench, "clt", config)
