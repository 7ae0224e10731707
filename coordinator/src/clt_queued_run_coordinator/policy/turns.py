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

from clt_queued_run_coordinator.policy.claims import Claim, Claims, group_key
from clt_queued_run_coordinator.policy.credit import Standing

Key = tuple[Any, ...]
"""A sort key; the smallest goes first. It ends with the place of the next run and the code location's name."""


class _Contender:
    """A code location or group that competes for slots: its claim, how it stands, and the slots it was dealt."""

    __slots__ = ("claim", "dealt", "standing")

    def __init__(self, claim: Claim, standing: Standing) -> None:
        self.claim = claim
        self.standing = standing
        self.dealt = 0

    @property
    def has_room(self) -> bool:
        limit = self.claim.limit
        return limit is None or self.claim.in_progress + self.dealt < limit

    @property
    def has_its_minimum(self) -> bool:
        return self.claim.in_progress + self.dealt >= self.claim.min

    def turn(self) -> float:
        return -self.standing.claim(self.claim.in_progress, self.dealt)


class Turns:
    """The turns of one tick, while slots are dealt.

    What one code location is dealt changes the place of no other but those of its group, and theirs only all
    together, so a turn costs no more the more code locations there are, but for the depth of a heap.

    Args:
        claims: Of everybody.
        standings: How code locations and groups stand if slots are shared; empty if only places decide.
    """

    def __init__(self, claims: Claims, standings: Mapping[str, Standing]) -> None:
        nothing = Standing()
        self._fair = bool(standings)
        self._code_locations = {
            name: _Contender(claim, standings.get(name, nothing)) for name, claim in claims.code_locations.items()
        }
        self._groups = {
            name: _Contender(claim, standings.get(group_key(name), nothing))
            for name, claim in claims.groups.items()
        }
        self._group_of = claims.group_of
        self._waiting_in: dict[str, list[Key]] = {name: [] for name in claims.groups}
        self._first_of: dict[str, Key] = {}
        self._changed = set(claims.groups)
        self._waiting: list[Key] = []

    def has_room(self, code_location: str) -> bool:
        """Whether one more run of a code location may be in progress, by its limit and its group's."""
        group = self._group_of.get(code_location)
        return self._code_locations[code_location].has_room and (group is None or self._groups[group].has_room)

    def wait(self, code_location: str, place: Key, *, last: bool = False) -> None:
        """Let a code location that has room wait for a slot.

        Args:
            code_location: Its name; it doesn't wait yet.
            place: The place of its next run; the smallest goes first.
            last: Whether it gets only the slots that the others leave.
        """
        party = self._code_locations[code_location]
        key = (last, party.has_its_minimum, party.turn() if self._fair else 0.0, *place, code_location)
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

    def deal(self, code_location: str) -> None:
        """Give a slot to a code location that doesn't wait."""
        self._code_locations[code_location].dealt += 1
        group = self._group_of.get(code_location)
        if group is not None:
            self._groups[group].dealt += 1
            self._changed.add(group)

    def _place(self, group: str) -> None:
        """Put a group where it now belongs: at the turn of the first of its waiting code locations."""
        self._first_of.pop(group, None)
        party = self._groups[group]
        if not self._waiting_in[group] or not party.has_room:
            return
        last, has_its_minimum, _, *place = self._waiting_in[group][0]
        turn = party.turn() if self._fair else 0.0
        key = (last, has_its_minimum and party.has_its_minimum, turn, *place)
        self._first_of[group] = key
        heapq.heappush(self._waiting, key)
