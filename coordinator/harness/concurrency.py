"""How many runs were in progress at once, and whether the limits held. Pure: it sees only start and end times."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True)
class RunInterval:
    """An interval in the life of a run. A run that was put back into the queue has several of each kind.

    Attributes:
        run_id: The run.
        code_location: The name of its code location.
        start: When the interval began, in seconds since the epoch.
        end: When it ended, exclusive; None if it has not ended yet.
    """

    run_id: str
    code_location: str
    start: float
    end: float | None

    def includes(self, time: float) -> bool:
        """Whether a time lies within the interval."""
        return self.start <= time and (self.end is None or time < self.end)


class InProgress(RunInterval):
    """An interval in which a run was in progress, and so counted against its limits.

    It begins when the run is dequeued and ends when the run ends or is put back into the queue. If two intervals
    of one run overlap, the run still counts once.
    """


class Queued(RunInterval):
    """An interval in which a run was queued."""


@dataclass(frozen=True)
class Violation:
    """A moment at which more runs were in progress than a limit allowed."""

    code_location: str | None
    """The code location whose limit was exceeded; None for the limit on all runs."""
    limit: int
    time: float
    run_ids: frozenset[str]

    def __str__(self) -> str:
        """One line with the code location, the limit and the runs."""
        return (
            f"{self.code_location or 'all code locations together'}: {len(self.run_ids)} runs in progress at"
            f" {self.time:.3f} with a limit of {self.limit}: {', '.join(sorted(self.run_ids))}"
        )


def code_locations_of(runs: Iterable[InProgress]) -> list[str]:
    """The names of the code locations that had a run in progress, in alphabetical order."""
    return sorted({run.code_location for run in runs})


def peak(runs: Iterable[InProgress]) -> int:
    """The largest number of runs in progress at once."""
    return max((len(at_once) for _, at_once in _at_each_start(list(runs))), default=0)


def peak_by_code_location(runs: Iterable[InProgress]) -> dict[str, int]:
    """The largest number of runs in progress at once, for each code location."""
    runs = list(runs)
    return {name: peak(_of(runs, name)) for name in code_locations_of(runs)}


def violations(
    runs: Iterable[InProgress], limits: Mapping[str, int], max_concurrent_runs: int | None = None
) -> list[Violation]:
    """Each start of a run that exceeded the limit of its code location or the total; oldest first.

    Args:
        runs: When the runs were in progress.
        limits: The limit of each code location; one that is not named has none.
        max_concurrent_runs: The limit on all runs; None for no limit.
    """
    runs = list(runs)
    found = [
        Violation(name, limit, time, run_ids)
        for name, limit in limits.items()
        for time, run_ids in _at_each_start(_of(runs, name))
        if len(run_ids) > limit
    ]
    if max_concurrent_runs is not None:
        found += [
            Violation(None, max_concurrent_runs, time, run_ids)
            for time, run_ids in _at_each_start(runs)
            if len(run_ids) > max_concurrent_runs
        ]
    return sorted(found, key=lambda violation: violation.time)


@dataclass(frozen=True)
class LimitChange:
    """A limit that was changed while runs were in progress.

    Attributes:
        time: When it was changed, in seconds since the epoch.
        code_location: Whose limit was changed.
        limit: The new limit.
    """

    time: float
    code_location: str
    limit: int


def violations_while_changing(
    runs: Iterable[InProgress], limits: Mapping[str, int], changes: Iterable[LimitChange], tick: float
) -> list[Violation]:
    """Each start of a run that none of the limits its tick may have read would allow; oldest first.

    Args:
        runs: When the runs were in progress.
        limits: The limit of each code location before the changes.
        changes: The changes.
        tick: The longest time, in seconds, from a tick's reading of the limits to its last start.
    """
    runs, changes = list(runs), sorted(changes, key=lambda change: change.time)

    def most_allowed(name: str, limit: int, start: float) -> int:
        before = [
            change.limit for change in changes if change.code_location == name and change.time < start - tick
        ]
        within = [
            change.limit
            for change in changes
            if change.code_location == name and start - tick <= change.time <= start
        ]
        return max([before[-1] if before else limit, *within])

    return sorted(
        (
            Violation(name, most_allowed(name, limit, start), start, run_ids)
            for name, limit in limits.items()
            for start, run_ids in _at_each_start(_of(runs, name))
            if len(run_ids) > most_allowed(name, limit, start)
        ),
        key=lambda violation: violation.time,
    )


def longest_overtaking(
    queued: Iterable[Queued], runs: Iterable[InProgress], limits: Mapping[str, int]
) -> dict[str, int]:
    """The longest series of other code locations' starts while a code location could have started a run.

    It could have while it had runs queued and was below its limit.

    Args:
        queued: When the runs were queued.
        runs: When the runs were in progress.
        limits: The limit of each code location of interest.
    """
    queued, runs = list(queued), list(runs)
    most = dict.fromkeys(limits, 0)
    for name, limit in limits.items():
        waiting, own, in_a_row = _of(queued, name), _of(runs, name), 0
        for run in sorted(runs, key=lambda run: run.start):
            if run.code_location == name:
                in_a_row = 0
            elif _at(waiting, run.start) and len(_at(own, run.start)) < limit:
                in_a_row += 1
                most[name] = max(most[name], in_a_row)
    return most


def starts_before(runs: Iterable[InProgress], code_location: str) -> int:
    """How many runs of other code locations started before the first run of this one.

    Raises:
        ValueError: No run of the code location started.
    """
    runs = list(runs)
    first = min((run.start for run in _of(runs, code_location)), default=None)
    if first is None:
        raise ValueError(f"No run of {code_location} started.")
    return len({run.run_id for run in runs if run.start < first})


_Time = TypeVar("_Time", bound=RunInterval)


def _of(runs: list[_Time], code_location: str) -> list[_Time]:
    return [run for run in runs if run.code_location == code_location]


def _at(runs: Iterable[RunInterval], time: float) -> frozenset[str]:
    return frozenset(run.run_id for run in runs if run.includes(time))


def _at_each_start(runs: list[InProgress]) -> list[tuple[float, frozenset[str]]]:
    """The runs in progress at each start; between two starts their number can only fall."""
    return [(start, _at(runs, start)) for start in sorted({run.start for run in runs})]
