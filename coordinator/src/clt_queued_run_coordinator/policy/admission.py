"""Decides which queued runs may start now. Pure.

Each code location offers its queued runs in Dagster's order. Free slots go one by one to the code location whose
turn it is, for its next run that nothing else holds, until there are no more slots or runs. A run that is held by
a full pool or another tag limit takes no slot, and no room within the limits of its code location and its group.
The next run is tried instead.
"""

from collections.abc import Callable, Iterator, Mapping

from clt_queued_run_coordinator.policy.claims import Claims
from clt_queued_run_coordinator.policy.queued_run import QueuedRun
from clt_queued_run_coordinator.policy.turns import Turns


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
        queues: The queued runs of each participating code location, in Dagster's order.
        claims: All claims: what each code location has in progress, its limit, and what decides whose turn it is.
        slots: The free slots; None for no limit.
        starts: Whether a run can start beside those admitted before it. It is asked once for each run, and counts
            the runs for which it says yes.
        fair: Whether slots are shared fairly between code locations. Otherwise Dagster's order decides.
        place: The run whose place counts between code locations when the given run is next; by default itself.

    Returns:
        The code location and the run of each admission, in order.
    """
    admitted: list[tuple[str, QueuedRun]] = []
    turns = Turns(claims, fair=fair)
    next_run: dict[str, QueuedRun] = {}

    def wait(name: str) -> None:
        run = next(queues[name], None) if turns.has_room(name) else None
        if run:
            next_run[name] = run
            # With fair sharing, priorities count only within a code location.
            standing = place(name, run)
            turns.wait(name, (standing.storage_id,) if fair else standing.place)

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
