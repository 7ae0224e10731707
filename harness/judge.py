"""Whether the limits held, judged from the times at which runs were in progress: no Dagster, no clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True)
class RunTime:
    """A time in the life of a run; a run that was put back into the queue has several of each kind.

    Attributes:
        run_id: The run.
        code_location: The name of its code location.
        start: When it began, in seconds since the epoch.
        end: When it was over; None if it is not yet. Not itself part of the time.
    """

    run_id: str
    code_location: str
    start: float
    end: float | None

    def includes(self, time: float) -> bool:
        """Whether a time is part of this one."""
        return self.start <= time and (self.end is None or time < self.end)


class InProgress(RunTime):
    """A time during which a run was in progress, so that it counted against its limits.

    It starts where the run leaves the queue and is over where the run ends or is put back. Where two of one run
    overlap, the run counts once.
    """


class Queued(RunTime):
    """A time during which a run was in the queue."""


@dataclass(frozen=True)
class Violation:
    """A moment at which more runs were in progress than a limit allows."""

    code_location: str | None
    """The code location whose limit it is; None for the limit of all runs together."""
    limit: int
    time: float
    run_ids: frozenset[str]

    def __str__(self) -> str:
        """One line that names the code location, the limit and the runs."""
        return (
            f"{self.code_location or 'all code locations together'}: {len(self.run_ids)} runs in progress at"
            f" {self.time:.3f} with a limit of {self.limit}: {', '.join(sorted(self.run_ids))}"
        )


def code_locations_of(runs: Iterable[InProgress]) -> list[str]:
    """The names of the code locations that had a run in progress, sorted."""
    return sorted({run.code_location for run in runs})


def most_at_once(runs: Iterable[InProgress]) -> int:
    """The most runs that were in progress at the same time."""
    return max((len(at_once) for _, at_once in _at_each_start(list(runs))), default=0)


def most_at_once_by_code_location(runs: Iterable[InProgress]) -> dict[str, int]:
    """The most runs of each code location that were in progress at the same time."""
    runs = list(runs)
    return {name: most_at_once(_of(runs, name)) for name in code_locations_of(runs)}


def violations(
    runs: Iterable[InProgress], limits: Mapping[str, int], max_concurrent_runs: int | None = None
) -> list[Violation]:
    """Each start of a run that brought its code location, or all together, above the limit; oldest first.

    Args:
        runs: When the runs were in progress.
        limits: The limit of each code location; one not named here has none.
        max_concurrent_runs: The limit of all runs together, None for no limit.
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
        time: When, in seconds since the epoch.
        code_location: The code location whose limit it is.
        limit: The limit from then on.
    """

    time: float
    code_location: str
    limit: int


def violations_while_changing(
    runs: Iterable[InProgress], limits: Mapping[str, int], changes: Iterable[LimitChange], tick: float
) -> list[Violation]:
    """Each start of a run that no limit allowed which its tick may have read; oldest first.

    Args:
        runs: When the runs were in progress.
        limits: The limit of each code location before the changes.
        changes: The changes.
        tick: How many seconds at most a tick takes from reading the limits to its last start.
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


def most_overtaken(
    queued: Iterable[Queued], runs: Iterable[InProgress], limits: Mapping[str, int]
) -> dict[str, int]:
    """How many runs of others started in a row while a code location had runs queued and was below its limit.

    Args:
        queued: When the runs were in the queue.
        runs: When the runs were in progress.
        limits: The limit of each code location to look at.
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
    """How many runs of other code locations started before the first of this one.

    Raises:
        ValueError: No run of the code location started.
    """
    runs = list(runs)
    first = min((run.start for run in _of(runs, code_location)), default=None)
    if first is None:
        raise ValueError(f"No run of {code_location} started.")
    return len({run.run_id for run in runs if run.start < first})


_Time = TypeVar("_Time", bound=RunTime)


def _of(runs: list[_Time], code_location: str) -> list[_Time]:
    return [run for run in runs if run.code_location == code_location]


def _at(runs: Iterable[RunTime], time: float) -> frozenset[str]:
    return frozenset(run.run_id for run in runs if run.includes(time))


def _at_each_start(runs: list[InProgress]) -> list[tuple[float, frozenset[str]]]:
    """The runs in progress at each start: between two starts their number can only fall."""
    return [(start, _at(runs, start)) for start in sorted({run.start for run in runs})]
