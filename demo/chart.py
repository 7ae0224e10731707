"""What a chart of runs in progress over time shows, however it is drawn; its times are seconds from zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.timeline import Steps


@dataclass(frozen=True)
class Wait:
    """A time that a code location's runs waited in the queue.

    Attributes:
        code_location: Whose runs.
        start: When it began.
        end: When it was over.
    """

    code_location: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.start

    def __str__(self) -> str:
        """Whose runs waited how long."""
        return f"{self.code_location} waits {self.seconds:.0f} s"


@dataclass(frozen=True)
class Panel:
    """A part of a chart with slots of its own.

    Attributes:
        title: What it shows.
        slots: How many runs its limit allows at once.
        steps: The runs in progress of each code location, stacked from the bottom in the chart's order.
        wait: A time to point out.
    """

    title: str
    slots: int
    steps: Mapping[str, Steps]
    wait: Wait | None = None


@dataclass(frozen=True)
class Chart:
    """Panels above one another that share a time axis.

    Attributes:
        code_locations: The names of the code locations, in the order in which they are stacked.
        panels: The panels, from the top.
    """

    code_locations: Sequence[str]
    panels: Sequence[Panel]

    @property
    def seconds(self) -> float:
        """How long the time axis is: until the last change of any panel."""
        changes = (time for panel in self.panels for steps in panel.steps.values() for time in steps.times)
        return max(changes, default=0)
