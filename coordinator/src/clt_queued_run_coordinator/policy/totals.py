"""Totals of a code location's runs. They only grow, but may begin again from 0, as Prometheus expects. Pure."""

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from clt_queued_run_coordinator.config import plain_data

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
        data = plain_data.mapping(data)
        ends = plain_data.mapping(data.get("ends"))
        waits = data.get("waits")
        totals = cls(
            starts=plain_data.count(data.get("starts")) or 0,
            ends={outcome: plain_data.count(ends.get(outcome.value)) or 0 for outcome in Outcome},
            waited=max(0.0, plain_data.number(data.get("waited")) or 0.0),
        )
        if isinstance(waits, list) and len(waits) == len(totals.waits):
            totals.waits = [plain_data.count(number) or 0 for number in waits]
        return totals
