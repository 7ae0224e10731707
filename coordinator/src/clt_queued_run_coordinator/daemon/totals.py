"""What was counted of a code location's runs since this package first ran on the instance. Pure.

The totals only grow, as counters do.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

WAIT_BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0)
"""The upper bounds of the histogram of waits in seconds; whatever waited longer comes behind the last one."""


class Outcome(str, Enum):
    """How a run ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCELED = "canceled"


@dataclass
class Totals:
    """The totals of one code location.

    Attributes:
        starts: Runs that left the queue to be launched, and runs that came to be in progress in another way.
        ends: Runs that ended, by outcome; one that was canceled while it was queued is among the canceled ones.
        waits: How many of the started runs waited in the queue up to each of `WAIT_BOUNDS` and not up to the one
            before; at the end those that waited longer.
        waited: How long they waited altogether, in seconds.
    """

    starts: int = 0
    ends: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    waits: list[int] = field(default_factory=lambda: [0] * (len(WAIT_BOUNDS) + 1))
    waited: float = 0.0

    def start(self, waited: float) -> None:
        """Count a start.

        Args:
            waited: How long the run was queued, in seconds.
        """
        waited = max(0.0, waited)
        self.starts += 1
        self.waits[bisect_left(WAIT_BOUNDS, waited)] += 1
        self.waited += waited

    def end(self, outcome: Outcome) -> None:
        """Count an end."""
        self.ends[outcome] += 1

    def as_data(self) -> dict[str, Any]:
        """The totals as JSON takes them."""
        return {
            "starts": self.starts,
            "ends": {outcome.value: ends for outcome, ends in self.ends.items()},
            "waits": self.waits,
            "waited": round(self.waited, 3),
        }

    @classmethod
    def from_data(cls, data: object) -> "Totals":
        """The totals as they are stored; whatever can't be understood begins at 0."""
        totals = cls()
        if not isinstance(data, Mapping):
            return totals
        totals.starts = _count(data.get("starts"))
        ends = data.get("ends")
        if isinstance(ends, Mapping):
            totals.ends = {outcome: _count(ends.get(outcome.value)) for outcome in Outcome}
        waits = data.get("waits")
        if isinstance(waits, list) and len(waits) == len(totals.waits):
            totals.waits = [_count(number) for number in waits]
        waited = data.get("waited")
        if isinstance(waited, (int, float)) and not isinstance(waited, bool) and 0 <= waited < math.inf:
            totals.waited = float(waited)
        return totals


def _count(number: object) -> int:
    is_count = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**53
    return number if is_count else 0  # type: ignore[return-value]
