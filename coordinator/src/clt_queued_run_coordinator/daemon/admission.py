"""Which queued runs may start now. Pure.

Every code location hands in its queued runs in Dagster's order. One slot after the other goes to the code
location whose turn it is, for its next run that nothing else holds, until the slots or the runs are used up.
What is held (by a full pool, by another tag limit) takes neither a slot nor a place within its code location's
limit: the next run is tried instead.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping

from clt_queued_run_coordinator.queue.queued_run import QueuedRun

Turn = Callable[[str, QueuedRun, int], tuple[float, ...]]
"""Says whose turn it is, from a code location, its next run, and how many of its runs were admitted before: the
smallest goes first."""


def admit(
    queues: Mapping[str, Iterator[QueuedRun]],
    room: Mapping[str, int | None],
    slots: int | None,
    turn: Turn,
    starts: Callable[[str, QueuedRun], bool],
) -> list[tuple[str, QueuedRun]]:
    """Choose the runs that may start.

    Args:
        queues: The queued runs of each code location that has room, in Dagster's order.
        room: How many more runs of each may be in progress, 1 or more; None for no limit.
        slots: The free slots; None for no limit.
        turn: Whose turn it is.
        starts: Whether a run can start with those that were admitted before it. Asked once for each run; a run
            that it lets pass counts from then on.

    Returns:
        The code location and the run of each, in the order in which they were admitted.
    """
    admitted: list[tuple[str, QueuedRun]] = []
    taken = dict.fromkeys(queues, 0)
    waiting: list[tuple[tuple[float, ...], str, QueuedRun]] = []

    def wait(name: str) -> None:
        limit = room[name]
        run = next(queues[name], None) if limit is None or taken[name] < limit else None
        if run:
            heapq.heappush(waiting, (turn(name, run, taken[name]), name, run))

    for name in queues:
        wait(name)
    while waiting and (slots is None or len(admitted) < slots):
        _, name, run = heapq.heappop(waiting)
        if starts(name, run):
            admitted.append((name, run))
            taken[name] += 1
        wait(name)
    return admitted
