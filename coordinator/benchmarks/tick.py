"""The daemon's tick where a run can start, and where none can but the counts don't show it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.run_queue import RunQueue

from benchmarks.copies import let_end
from benchmarks.filled_queue import EVERYTHING, LIMIT, FilledQueue, Slots, fill
from benchmarks.measure import PLAIN, Bench, Goal, Row

SHARINGS = ("fifo", "fair")


@dataclass(frozen=True)
class Case:
    """How queues of one length are measured.

    Attributes:
        goal: What is to be reached.
        rounds: How many rounds.
        limits: Where the limits are set: in the configuration, or live over it.
        slots: What is in progress.
    """

    goal: Goal
    rounds: int
    limits: tuple[str, ...] = ("live",)
    slots: tuple[Slots, ...] = (Slots.ONE_FREE,)


CASES = {
    0: Case(Goal(more=0.015), 15, limits=("static", "live")),
    500: Case(Goal(more=0.015), 15, limits=("static", "live")),
    5_000: Case(Goal(ratio=0.2), 15, limits=("static", "live")),
    30_000: Case(Goal(ratio=0.04), 5),
    50_000: Case(Goal(ratio=0.04), 5),
}
HELD_QUEUED = 5_000
HELD = Case(Goal(ratio=0.2), 15, slots=(Slots.HELD,))
NAMES = {Slots.ONE_FREE: "one slot free", Slots.HELD: "one run held"}


def run(bench: Bench) -> Iterator[Row]:
    """Each length with few and with many code locations; static limits first, then the same ones live."""
    for queued, case in bench.sizes(CASES).items():
        yield from _rows(bench, queued, case)
    yield from _rows(bench, min(HELD_QUEUED, bench.at_most), HELD)


def _rows(bench: Bench, queued: int, case: Case) -> Iterator[Row]:
    for code_locations, slots in [(number, slots) for number in (2, 100) for slots in case.slots]:
        filled = fill(bench, queued, code_locations, slots)
        of_ours = {sharing: filled.copied(bench, sharing) for sharing in (*SHARINGS, EVERYTHING)}
        plain = filled.open(bench, "plain", filled.plain_config())
        starts = bool(queued) and slots is Slots.ONE_FREE
        for limits in case.limits:
            configured = LIMIT
            if limits == "live":
                configured = LIMIT + 1
            ours = {
                sharing: copy.open(bench, "clt", copy.config(sharing, configured))
                for sharing, copy in of_ours.items()
            }
            if limits == "live":
                for queue in ours.values():
                    filled.set_live_limits(queue.instance)
            what = f"{queued:,} queued, {code_locations} code locations, {limits}, {NAMES[slots]}"
            timed = timed_start if starts else timed_tick
            seconds = bench.interleave(
                what, case.rounds, {name: timed(queue) for name, queue in {PLAIN: plain, **ours}.items()}
            )
            for sharing, queue in ours.items():
                yield Row("tick", f"{what}, {sharing}", "s", seconds[sharing], seconds[PLAIN], goal=case.goal)
                queue.instance.dispose()
        plain.instance.dispose()


def open_ours(bench: Bench, filled: FilledQueue, limit: int = LIMIT) -> dict[str, RunQueue]:
    """Our coordinator on a queue, by its way of sharing.

    Args:
        bench: The benchmark.
        filled: The queue.
        limit: The configured limit of each code location.
    """
    return {sharing: filled.open(bench, "clt", filled.config(sharing, limit)) for sharing in SHARINGS}


def timed_tick(queue: RunQueue) -> Callable[[], float]:
    """A tick that starts nothing; returns its seconds."""

    def tick() -> float:
        begin = time.perf_counter()
        started = queue.tick_ids()
        seconds = time.perf_counter() - begin
        assert not started
        return seconds

    return tick


def timed_start(queue: RunQueue) -> Callable[[], float]:
    """A tick that starts the one run that can start, all of it; returns its seconds.

    Afterwards, not in the seconds, the run ends and a new one of its code location is queued behind the others.
    So the next tick finds one slot free again and a queue as long, and no run is queued a second time.
    """

    def tick() -> float:
        begin = time.perf_counter()
        started = queue.tick_ids()
        seconds = time.perf_counter() - begin
        assert len(started) == 1, f"{len(started)} runs were started"
        let_end(queue.instance, started, queue_again=True)
        return seconds

    return tick
