"""Recent use of slots by each code location, so that turns are fair over time as well. Pure.

When fewer slots are free than code locations wait, max-min fairness over the runs in progress leaves ties, because
they all have nothing in progress. A tie goes to whoever has used the least for its weight. Use is measured in
slot-seconds, because a run of an hour takes sixty times as much from the others as a run of a minute. Each start
adds a second, because a slot can't be given away again before the next tick; otherwise short runs would look free.

Use is halved every `half_life` seconds, as in Slurm's fair tree and Kueue's admission fair sharing. Unlike there,
idling earns nothing. A code location that comes back starts level with the others, a single start ahead; otherwise
it would win every tie until it had caught up with what the others did in its absence. For the same reason it owes
no more than the others.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

START_SECONDS = 1.0
"""What each start adds to the slot-seconds of its run."""

_NOTHING = 0.001
"""Slot-seconds below which use is forgotten."""


@dataclass(frozen=True)
class Usage:
    """Recent use as of one moment.

    Attributes:
        at: The moment, in seconds since 1970.
        slot_seconds: The decayed use of each code location, and of each group by its `claims.group_key`.
        competing: The code locations and groups that had runs queued or in progress at that moment.
    """

    at: float = 0.0
    slot_seconds: Mapping[str, float] = field(default_factory=dict)
    competing: frozenset[str] = frozenset()

    def of(self, code_location: str) -> float:
        """The slot-seconds of one code location or group."""
        return self.slot_seconds.get(code_location, 0.0)

    def advanced(self, now: float, in_progress: Mapping[str, int], half_life: float) -> "Usage":
        """The use as of a later moment.

        Args:
            now: The moment, in seconds since 1970. If the clock went back, no time has passed.
            in_progress: The number of runs of each code location and group that have held a slot since `at`.
            half_life: The seconds in which use is halved.
        """
        factor = 0.5 ** (max(0.0, now - self.at) / half_life) if self.at else 1.0
        # The integral of the decay over the time that a slot was held. A slot held forever adds up to
        # half_life / ln 2.
        held = (1 - factor) * half_life / math.log(2)
        used = {
            name: self.of(name) * factor + in_progress.get(name, 0) * held
            for name in {*self.slot_seconds, *in_progress}
        }
        return replace(
            self, at=now, slot_seconds={name: value for name, value in used.items() if value > _NOTHING}
        )

    def charged(self, starts: Mapping[str, int]) -> "Usage":
        """The use with starts added. A negative number takes back starts that did not happen."""
        used = {
            name: max(0.0, self.of(name) + starts.get(name, 0) * START_SECONDS)
            for name in {*self.slot_seconds, *starts}
        }
        return replace(self, slot_seconds=used)

    def joined_by(self, levels: Iterable[Mapping[str, float]]) -> "Usage":
        """The use with those that come back set level: a start ahead of the one with the least use.

        Args:
            levels: The weights of those that compete with each other and have runs queued or in progress now;
                see `claims.levels`.
        """
        levels = list(levels)
        used = dict(self.slot_seconds)
        for competing in levels:
            there = [self.of(name) / weight for name, weight in competing.items() if name in self.competing]
            for name, weight in competing.items():
                if there and name not in self.competing:
                    ahead = max(0.0, min(there) - START_SECONDS / weight)
                    used[name] = weight * min(max(self.of(name) / weight, ahead), max(there))
        return replace(self, slot_seconds=used, competing=frozenset().union(*levels))

    def as_data(self) -> dict[str, Any]:
        """Plain data for `from_data`."""
        return {"at": self.at, "slot_seconds": dict(self.slot_seconds), "competing": sorted(self.competing)}

    @classmethod
    def from_data(cls, data: Any) -> "Usage":
        """The use from `as_data`; no use if the data can't be read, which only affects the order of turns."""
        try:
            used = {str(name): float(value) for name, value in data["slot_seconds"].items()}
            at, competing = float(data["at"]), frozenset(map(str, data["competing"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()
        if not all(map(math.isfinite, (at, *used.values()))):
            return cls()
        return cls(at, used, competing)
