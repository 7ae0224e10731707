"""How many runs of each code location were in progress over time. Pure: it sees only start and end times."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from harness.concurrency import InProgress, code_locations_of


@dataclass(frozen=True)
class Steps:
    """A number of runs that changes at some times and stays the same between them; zero before the first.

    Attributes:
        times: When it changes, ascending.
        counts: The number from each of these times on.
    """

    times: tuple[float, ...]
    counts: tuple[int, ...]

    def at(self, time: float) -> int:
        """The number at a time."""
        index = bisect_right(self.times, time)
        return self.counts[index - 1] if index else 0


def in_progress_over_time(runs: Iterable[InProgress], since: float = 0) -> dict[str, Steps]:
    """The number of runs in progress over time, by code location.

    Args:
        runs: When the runs were in progress.
        since: The moment that times are counted from.
    """
    runs = list(runs)
    return {
        name: _steps([run for run in runs if run.code_location == name], since) for name in code_locations_of(runs)
    }


def _steps(runs: list[InProgress], since: float) -> Steps:
    changes = sorted({time for run in runs for time in (run.start, run.end) if time is not None})
    # The number may stay the same: one run ends where the next one starts.
    numbers = [(time, len({run.run_id for run in runs if run.includes(time)})) for time in changes]
    firsts = [next(same) for _, same in groupby([(since, 0), *numbers], key=lambda step: step[1])][1:]
    return Steps(tuple(time - since for time, _ in firsts), tuple(count for _, count in firsts))
