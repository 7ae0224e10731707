"""Turns: who gets the next slot. Pure.

Slots are shared between groups first, then between the code locations of a group. A code location without a group
counts as a group of its own. Both between groups and within a group, the order is:

1. whoever isn't to go last;
2. whoever has fewer slots than its minimum; for a group also if a waiting code location of it has;
3. with fair sharing, whoever has the largest claim by its share, its credit and the slots it holds; see `credit`;
4. the place of the next run.

A minimum only decides who goes first. So it withholds a slot from nobody unless somebody below its minimum waits.
"""

import heapq
from collections.abc import Mapping
from typing import Any

from clt_queued_run_coordinator.policy.credit import Standing
from clt_queued_run_coordinator.policy.room import Room

Key = tuple[Any, ...]
"""A sort key; the smallest goes first. It ends with the place of the next run and the code location's name."""

_NOTHING = Standing()


class Turns:
    """The turns of one tick, while slots are dealt.

    What one code location is dealt changes the place of no other but those of its group, and theirs only all
    together, so a turn costs no more the more code locations there are, but for the depth of a heap. Without
    standings only places decide.
    """

    def __init__(self, room: Room, standings: Mapping[str, Standing]) -> None:
        claims = room.claims
        self._room = room
        self._claims = claims.everybody
        self._standings = standings
        self._group_of = claims.group_of
        self._waiting_in: dict[str, list[Key]] = {name: [] for name in claims.groups}
        self._first_of: dict[str, Key] = {}
        self._changed = set(claims.groups)
        self._waiting: list[Key] = []

    def _has_its_minimum(self, name: str) -> bool:
        return self._claims[name].in_progress + self._room.dealt[name] >= self._claims[name].min

    def _turn(self, name: str) -> float:
        if not self._standings:
            return 0.0
        standing = self._standings.get(name, _NOTHING)
        return -standing.claim(self._claims[name].in_progress, self._room.dealt[name])

    def wait(self, code_location: str, place: Key, *, last: bool = False) -> None:
        """Let a code location that has room, and doesn't wait yet, wait for a slot for its next run.

        The smallest place goes first; `last` gets only the slots that the others leave.
        """
        key = (last, self._has_its_minimum(code_location), self._turn(code_location), *place, code_location)
        group = self._group_of.get(code_location)
        if group is None:
            heapq.heappush(self._waiting, key)
        else:
            heapq.heappush(self._waiting_in[group], key)
            self._changed.add(group)

    def next(self) -> str | None:
        """The code location whose turn it is; it then no longer waits. None if nobody waits."""
        while self._changed:
            self._place(self._changed.pop())
        while self._waiting:
            key = heapq.heappop(self._waiting)
            name: str = key[-1]
            group = self._group_of.get(name)
            if group is None:
                return name
            if self._first_of.get(group) is key:  # otherwise the key is out of date
                del self._first_of[group]
                heapq.heappop(self._waiting_in[group])
                self._changed.add(group)
                return name
        return None

    def deal(self, code_location: str, slots: int) -> None:
        """Give slots to a code location that doesn't wait."""
        self._room.deal(code_location, slots)
        group = self._group_of.get(code_location)
        if group is not None:
            self._changed.add(group)

    def _place(self, group: str) -> None:
        """Put a group where it now belongs: at the turn of the first of its waiting code locations."""
        self._first_of.pop(group, None)
        if not self._waiting_in[group] or self._room.of_itself(group) == 0:
            return
        last, has_its_minimum, _, *place = self._waiting_in[group][0]
        key = (last, has_its_minimum and self._has_its_minimum(group), self._turn(group), *place)
        self._first_of[group] = key
        heapq.heappush(self._waiting, key)
