"""Totals of a code location's runs since this package first ran on the instance. They only grow. Pure."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

WAIT_BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0)
"""The upper bounds of the histogram of waiting times, in seconds. One more bucket follows for longer waits."""


class Outcome(str, Enum):
    """How a run ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCELED = "canceled"


@dataclass
class Totals:
    """The totals of one code location.

    Attributes:
        starts: The runs that were dequeued, and runs that got in progress in another way.
        ends: The runs that ended, by outcome. A run canceled in the queue counts as canceled.
        waits: The number of started runs per bucket of waiting time: up to each of `WAIT_BOUNDS` and above the
            bound before. The last bucket holds longer waits.
        waited: Their total waiting time, in seconds.
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
        """The totals as plain data, for JSON."""
        return {
            "starts": self.starts,
            "ends": {outcome.value: ends for outcome, ends in self.ends.items()},
            "waits": self.waits,
            "waited": round(self.waited, 3),
        }

    @classmethod
    def from_data(cls, data: object) -> "Totals":
        """The totals from `as_data`. Whatever can't be read starts at 0."""
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
