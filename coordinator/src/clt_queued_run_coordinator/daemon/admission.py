"""Which queued runs may start now. Pure.

Every code location hands in its queued runs in Dagster's order. One slot after the other goes to the code
location whose turn it is, for its next run that nothing else holds, until the slots or the runs are used up.
What is held (by a full pool, by another tag limit) takes neither a slot nor a place within its code location's
limit or its group's: the next run is tried instead.
"""

from collections.abc import Callable, Iterator, Mapping

from clt_queued_run_coordinator.queue.queued_run import QueuedRun
from clt_queued_run_coordinator.shares.claims import Claims
from clt_queued_run_coordinator.shares.turns import Turns


def admit(
    queues: Mapping[str, Iterator[QueuedRun]],
    claims: Claims,
    slots: int | None,
    starts: Callable[[str, QueuedRun], bool],
    *,
    fair: bool,
    place: Callable[[str, QueuedRun], QueuedRun] = lambda _name, run: run,
) -> list[tuple[str, QueuedRun]]:
    """Choose the runs that may start.

    Args:
        queues: The queued runs of each code location that takes part, in Dagster's order.
        claims: Of everybody: what each has in progress, its limit, and what decides whose turn it is.
        slots: The free slots; None for no limit.
        starts: Whether a run can start with those that were admitted before it. Asked once for each run; a run
            that it lets pass counts from then on.
        fair: Whether slots are shared between the code locations; else Dagster's order decides between them too.
        place: Whose place the next run of a code location takes among those of the others; its own if left out.

    Returns:
        The code location and the run of each, in the order in which they were admitted.
    """
    admitted: list[tuple[str, QueuedRun]] = []
    turns = Turns(claims, fair=fair)
    next_run: dict[str, QueuedRun] = {}

    def wait(name: str) -> None:
        run = next(queues[name], None) if turns.has_room(name) else None
        if run:
            next_run[name] = run
            # With fair sharing priorities count within a code location alone.
            standing = place(name, run)
            turns.wait(name, (standing.id,) if fair else standing.place)

    for name in queues:
        wait(name)
    while slots is None or len(admitted) < slots:
        turn = turns.next()
        if turn is None:
            break
        run = next_run[turn]
        if starts(turn, run):
            admitted.append((turn, run))
            turns.deal(turn)
        wait(turn)
    return admitted
