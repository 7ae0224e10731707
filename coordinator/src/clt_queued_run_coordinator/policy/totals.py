"""Totals of a code location's runs. They only grow, but may begin again from 0, as Prometheus expects. Pure."""

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum

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
    ends: dict[Outcome, int] = field(default_factory=dict)
    waits: list[int] = field(default_factory=list)
    waited: float = 0.0

    def __post_init__(self) -> None:
        self.ends = {outcome: self.ends.get(outcome, 0) for outcome in Outcome}
        if len(self.waits) != len(WAIT_BOUNDS) + 1:
            self.waits = [0] * (len(WAIT_BOUNDS) + 1)
        self.waited = max(0.0, self.waited)

    def start(self, waited: float) -> None:
        """Count the start of a run that was queued for this many seconds."""
        waited = max(0.0, waited)
        self.starts += 1
        self.waits[bisect_left(WAIT_BOUNDS, waited)] += 1
        self.waited += waited
