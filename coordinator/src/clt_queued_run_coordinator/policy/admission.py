"""Decides which queued runs may start now. Pure.

Each code location offers its queued runs in Dagster's order. Free slots go one by one to the code location whose
turn it is, for its next run that nothing else holds, until there are no more slots or runs. A run that is held by
a full pool or another tag limit takes no slot, and no room within the limits of its code location and its group.
The next run is tried instead. Who has no run that could start has no share, so it isn't counted among those who
share.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from typing import NamedTuple

from clt_queued_run_coordinator.policy.claims import Claims
from clt_queued_run_coordinator.policy.credit import Credit, shares
from clt_queued_run_coordinator.policy.queued_run import QueuedRun
from clt_queued_run_coordinator.policy.turns import Turns

Check = Callable[[str, QueuedRun], bool]
"""A question about a run of a code location."""


class Admission(NamedTuple):
    """Which runs start, and what else could.

    Attributes:
        runs: The code location and the run of each admission, in order.
        waiting: The next run of each code location that has more runs that could start, if it had slots.
        blocked: The code locations that have room and no further run that could start.
    """

    runs: list[tuple[str, QueuedRun]]
    waiting: dict[str, QueuedRun]
    blocked: set[str]


def admit(
    queues: Mapping[str, Iterator[QueuedRun]],
    claims: Claims,
    slots: int | None,
    starts: Check,
    *,
    credit: Credit | None = None,
    could_start: Check = lambda _name, _run: True,
    last: Container[str] = (),
    place: Callable[[str, QueuedRun], QueuedRun] = lambda _name, run: run,
) -> Admission:
    """Choose the runs that may start.

    Args:
        queues: The queued runs of each participating code location, in Dagster's order.
        claims: The claims of everybody.
        slots: The free slots; None for no limit.
        starts: Whether a run can start beside those admitted before it. It counts the runs for which it says yes.
        credit: The credit of everybody if slots are shared fairly. Otherwise Dagster's order decides.
        could_start: The same question as `starts`, without counting.
        last: The code locations that get only the slots that the others leave.
        place: The run whose place counts between code locations when the given run is next.
    """
    waiting: dict[str, QueuedRun] = {}

    def look(name: str) -> bool:
        for run in queues[name]:
            if could_start(name, run):
                waiting[name] = run
                return True
        return False

    startable = [name for name in queues if claims.room(name) != 0 and look(name)]
    standings = {}
    if credit is not None:
        blocked = {name for name in claims.code_locations if name not in waiting or name in last}
        total = float("inf") if slots is None else slots + claims.in_progress
        standings = credit.standings(shares(claims.after({}, blocked), total))
    turns = Turns(claims, standings)

    def wait(name: str) -> None:
        # With fair sharing, priorities count only within a code location.
        standing = place(name, waiting[name])
        turns.wait(name, (standing.storage_id,) if credit is not None else standing.place, last=name in last)

    for name in startable:
        wait(name)
    admitted: list[tuple[str, QueuedRun]] = []
    while slots is None or len(admitted) < slots:
        turn = turns.next()
        if turn is None:
            break
        run = waiting.pop(turn)
        if starts(turn, run):
            admitted.append((turn, run))
            turns.deal(turn)
        if turns.has_room(turn) and look(turn):
            wait(turn)
    for name, run in list(waiting.items()):
        # What started meanwhile may hold it now.
        if not turns.has_room(name) or not (could_start(name, run) or look(name)):
            waiting.pop(name)
    blocked = {name for name in queues if turns.has_room(name) and name not in waiting}
    return Admission(admitted, waiting, blocked)
