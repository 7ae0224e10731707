"""Decides which queued runs may start now. Pure.

Each code location offers its queued runs in Dagster's order. Free slots go one by one to the code location whose
turn it is, for its next run that nothing else holds, until there are no more slots or runs. A run that is held by
a full pool or another tag limit takes no slot, and no room within the limits of its code location and its group.
The next run is tried instead. Who has no run that could start has no share, so it isn't counted among those who
share.

A run that takes more slots than are free is passed at its turn by the next one that fits. Runs that have been
passed for long come first of all, and hold back the others; see `room`.
"""

import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from clt_queued_run_coordinator.policy.credit import Credit, shares
from clt_queued_run_coordinator.policy.queued_run import QueuedRun
from clt_queued_run_coordinator.policy.room import Room
from clt_queued_run_coordinator.policy.turns import Turns

Check = Callable[[str, QueuedRun], bool]
"""A question about a run of a code location."""


class Admission(NamedTuple):
    """Which runs start, and what else could.

    Attributes:
        runs: The code location and the run of each admission, in order.
        waiting: The next run of each code location that has more runs that could start, if it had slots.
        blocked: The code locations that have room and no further run that could start.
        passed: The run of each code location that was too large for what was free when it was its turn.
    """

    runs: list[tuple[str, QueuedRun]]
    waiting: dict[str, QueuedRun]
    blocked: set[str]
    passed: dict[str, QueuedRun]


def admit(
    queues: Mapping[str, Iterator[QueuedRun]],
    room: Room,
    starts: Check,
    *,
    credit: Credit | None = None,
    could_start: Check = lambda _name, _run: True,
    last: Container[str] = (),
    hold_back: Sequence[tuple[str, QueuedRun]] = (),
    place: Callable[[str, QueuedRun], QueuedRun] = lambda _name, run: run,
) -> Admission:
    """Choose the runs that may start.

    Args:
        queues: The queued runs of each participating code location, in Dagster's order.
        room: The claims of everybody, and the free slots. What is dealt is counted in it.
        starts: Whether a run can start beside those admitted before it. It counts the runs for which it says yes.
        credit: The credit of everybody if slots are shared fairly. Otherwise Dagster's order decides.
        could_start: The same question as `starts`, without counting.
        last: The code locations that get only the slots that the others leave.
        hold_back: The code locations and runs that hold back, the first one first.
        place: The run whose place counts between code locations when the given run is next.
    """
    claims, slots = room.claims, room.slots
    waiting: dict[str, QueuedRun] = {}
    passed: dict[str, QueuedRun] = {}
    held_back = ((name, run) for name, run in hold_back if name in queues and name not in last)
    admitted = _first(held_back, room, could_start, starts)
    started = {run.storage_id for _, run in admitted}

    def look(name: str) -> bool:
        for run in queues[name]:
            if run.storage_id in started or not room.shows(name, run.slots):
                continue
            if could_start(name, run):
                waiting[name] = run if room.fits(name, run.slots) else room.show(name, run)
                return True
        return False

    startable = [name for name in queues if room.has_room(name) and look(name)]
    standings = {}
    if credit is not None:
        blocked = {name for name in claims.code_locations if name not in waiting or name in last}
        total = math.inf if slots is None else slots + claims.in_progress
        standings = credit.standings(shares(claims.after({}, blocked), total))
    turns = Turns(room, standings)

    def wait(name: str) -> None:
        # With fair sharing, priorities count only within a code location.
        standing = place(name, waiting[name])
        turns.wait(name, (standing.storage_id,) if credit is not None else standing.place, last=name in last)

    for name in startable:
        wait(name)
    while not room.is_used_up:
        turn = turns.next()
        if turn is None:
            break
        run = waiting.pop(turn)
        if not room.fits(turn, run.slots):
            passed[turn] = room.show(turn, run)
        elif starts(turn, run):
            admitted.append((turn, run))
            turns.deal(turn, run.slots)
        if room.has_room(turn) and look(turn):
            wait(turn)
    for name, run in list(waiting.items()):
        # What started meanwhile may hold it now.
        if not room.has_room(name) or not (could_start(name, run) or look(name)):
            waiting.pop(name)
    could = waiting.keys() | passed.keys()
    blocked = {name for name in queues if room.has_room(name) and name not in could}
    return Admission(admitted, waiting, blocked, passed)


def _first(
    hold_back: Iterable[tuple[str, QueuedRun]], room: Room, could_start: Check, starts: Check
) -> list[tuple[str, QueuedRun]]:
    """Those that hold back and fit now. For the first one of each code location that doesn't, slots are kept."""
    admitted, holding = [], set()
    for name, run in hold_back:
        if room.is_used_up:
            break
        if name in holding or room.is_too_large(name, run.slots) or not could_start(name, run):
            continue
        if not room.fits(name, run.slots):
            holding.add(name)
            room.keep(name, run.slots)
        elif room.has_room(name) and starts(name, run):
            admitted.append((name, run))
            room.deal(name, run.slots)
    return admitted
