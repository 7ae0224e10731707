"""What is left of the slots while a tick deals them: in all, and by the limits of code locations and groups. Pure.

A run that is too large for what is left is passed by smaller ones. Once that has lasted, it holds back: where too
little is left for it, nothing else gets anything, until it fits.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property

from clt_queued_run_coordinator.policy.claims import Claims, least
from clt_queued_run_coordinator.policy.queued_run import QueuedRun

_ALL = "\0"
"""Stands for all slots among the keys of code locations and groups; it would be that of a group without a name."""


def holding_back(passed: Mapping[int, float], now: float, after: float) -> list[int]:
    """The runs that may hold back, by the storage's ids: those passed for the longest time first.

    Args:
        passed: When each run was first passed because of its size, in seconds since 1970.
        now: This moment, in the same way.
        after: The seconds after which a run holds back.
    """
    return sorted((of for of, since in passed.items() if now - since >= after), key=lambda of: (passed[of], of))


class Room:
    """The slots of one tick.

    Attributes:
        claims: The claims of everybody before it.
        slots: The slots that were free in all; None for no limit.
        dealt: The slots that each code location and group has got.
    """

    def __init__(self, claims: Claims, slots: int | None) -> None:
        self.claims = claims
        self.slots = slots
        self.dealt = dict.fromkeys(claims.everybody, 0)
        self._left = {_ALL: slots, **{name: claim.room for name, claim in claims.everybody.items()}}
        self._group_of = claims.group_of
        self._shown: dict[str, QueuedRun] = {}

    def _within(self, name: str) -> Iterator[str]:
        """What holds the slots of a code location beside all of them: itself and its group."""
        yield name
        if group := self._group_of.get(name):
            yield group

    def of_itself(self, name: str) -> int | None:
        """The slots left of a code location or group by its own limit; None for no limit."""
        return self._left[name]

    def has_room(self, code_location: str) -> bool:
        """Whether a slot is left by the limits of a code location and its group."""
        if self._left[code_location] == 0:
            return False
        group = self._group_of.get(code_location)
        return group is None or self._left[group] != 0

    @property
    def is_used_up(self) -> bool:
        """Whether no slot is left in all."""
        return self._left[_ALL] == 0

    def fits(self, code_location: str, slots: int) -> bool:
        """Whether a run of so many slots would fit if there is a slot at all."""
        if slots == 1:
            return True
        left = least(self._left[_ALL], *(self._left[of] for of in self._within(code_location)))
        return left is None or slots <= left

    def shows(self, code_location: str, slots: int) -> bool:
        """Whether to look at a run of so many slots: it fits, or is the first that doesn't yet."""
        if slots == 1 or self.fits(code_location, slots):
            return True
        return code_location not in self._shown and not self.is_too_large(code_location, slots)

    def is_too_large(self, code_location: str, slots: int) -> bool:
        """Whether a run of so many slots can't ever fit into the limits in force."""
        limits = (self.claims.everybody[of].limit for of in self._within(code_location))
        most = least(self._total, *limits)
        return most is not None and slots > most

    @cached_property
    def _total(self) -> int | None:
        return None if self.slots is None else self.slots + self.claims.in_progress

    def show(self, code_location: str, run: QueuedRun) -> QueuedRun:
        """The first run of a code location that was too large for what is left: this one if none was before."""
        return self._shown.setdefault(code_location, run)

    def deal(self, code_location: str, slots: int) -> None:
        """Give slots to a run."""
        for of in (_ALL, *self._within(code_location)):
            left = self._left[of]
            if left is not None:
                self._left[of] = max(0, left - slots)
        for of in self._within(code_location):
            self.dealt[of] += slots

    def keep(self, code_location: str, slots: int) -> None:
        """Keep for a run what is left wherever that is too little for it."""
        for of in (*self._within(code_location), _ALL):
            left = self._left[of]
            if left is not None and left < slots:
                self._left[of] = 0
