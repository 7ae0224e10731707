"""Measuring side by side: in turns, several rounds, compared by their medians."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import TypeVar

from tests.postgresql import PostgreSQL

T = TypeVar("T")
OURS = "ours"
PLAIN = "plain"
PUBLISHED = "published 1.10.0"
NOTHING = ""
"""What a row is compared with that shows ours alone."""


@dataclass(frozen=True)
class Goal:
    """What a measurement is to reach; every part that is given counts.

    Attributes:
        ratio: At most so many times what it is compared with.
        least_ratio: At least so many times that.
        more: At most so much more, in the unit of the measurement.
        most: At most so much, in the unit of the measurement.
    """

    ratio: float | None = None
    least_ratio: float | None = None
    more: float | None = None
    most: float | None = None

    def reached(self, ours: float, other: float) -> bool:
        """Whether it is."""
        return (
            (self.ratio is None or ours <= self.ratio * other)
            and (self.least_ratio is None or ours >= self.least_ratio * other)
            and (self.more is None or ours - other <= self.more)
            and (self.most is None or ours <= self.most)
        )

    def text(self, unit: str) -> str:
        """In words."""
        parts = [
            f"at most {_times(self.ratio)} times" if self.ratio is not None else "",
            f"at least {_times(self.least_ratio)} times" if self.least_ratio is not None else "",
            f"at most {quantity(self.more, unit)} more" if self.more is not None else "",
            f"at most {quantity(self.most, unit)}" if self.most is not None else "",
        ]
        return ", ".join(filter(None, parts))


@dataclass(frozen=True)
class Row:
    """One line of the table: ours beside one other.

    Attributes:
        benchmark: The command's name for the benchmark.
        case: What was measured.
        unit: What the values are: `s`, `MB`, or the plural of what was counted.
        ours: What was measured, one value a round.
        other: The same for what it is compared with; empty where ours is measured alone.
        against: The name of that, or `NOTHING`.
        goal: What is to be reached; None where the issue names none.
        by_mean: Compared by the mean instead of the median.
    """

    benchmark: str
    case: str
    unit: str
    ours: list[float]
    other: list[float]
    against: str = PLAIN
    goal: Goal | None = None
    by_mean: bool = False

    def typical(self, values: list[float]) -> float:
        """The median or the mean; 0 of no values."""
        if not values:
            return 0.0
        return mean(values) if self.by_mean else median(values)

    @property
    def ratio(self) -> float | None:
        """How many times the other ours is; None where the other is nothing."""
        other = self.typical(self.other)
        return self.typical(self.ours) / other if other > 0 else None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached."""
        if self.goal is None:
            return None
        return self.goal.reached(self.typical(self.ours), self.typical(self.other))


@dataclass(frozen=True)
class Bench:
    """What every benchmark works with.

    Attributes:
        server: A running PostgreSQL.
        folder: An empty folder.
        asked_rounds: The command's `--rounds`.
        at_most: Queues with more runs are left out.
        quick: Small numbers, to see that it all works; its figures mean nothing.
        show: Told what is measured, the steps done and the steps in all.
    """

    server: PostgreSQL
    folder: Path
    asked_rounds: int | None
    at_most: int
    quick: bool
    show: Callable[[str, int, int], None]

    def sizes(self, usual: Mapping[int, T]) -> dict[int, T]:
        """How many runs to queue, each with what goes with it.

        Args:
            usual: All of them.
        """
        return {queued: value for queued, value in usual.items() if queued <= self.at_most}

    def rounds(self, usual: int) -> int:
        """How many rounds to measure."""
        return self.asked_rounds or (2 if self.quick else usual)

    def interleave(
        self, what: str, usual_rounds: int, measured: Mapping[str, Callable[[], float]]
    ) -> dict[str, list[float]]:
        """Measure in turns, each round begun by another one, after one round that does not count.

        Args:
            what: For the progress that is shown.
            usual_rounds: The rounds where the command names none.
            measured: What to measure, by name; each returns one value.

        Returns:
            By the same names the values, one a round.
        """
        rounds = self.rounds(usual_rounds)
        values: dict[str, list[float]] = {name: [] for name in measured}
        names = list(measured)
        steps = (rounds + 1) * len(names)
        for turn in range(rounds + 1):
            first = turn % len(names)
            for step, name in enumerate([*names[first:], *names[:first]]):
                self.show(f"{what}: {name}", turn * len(names) + step, steps)
                value = measured[name]()
                if turn:
                    values[name].append(value)
        return values


def quantity(value: float, unit: str) -> str:
    """A value with its unit, seconds below one as milliseconds."""
    if unit == "s":
        return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"
    return f"{value:.1f} {unit}" if unit in ("MB", "runs/s") else f"{value:g} {unit}"


def _times(ratio: float) -> str:
    """A goal's ratio with two decimals, three where it has them."""
    return f"{ratio:.3f}".removesuffix("0")
