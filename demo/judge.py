"""Whether the limits held, judged from the times at which runs were in progress: no Dagster, no clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class InProgress:
    """A time during which a run was in progress, so that it counted against its limits.

    A run that was put back into the queue has several; where two of one run overlap, the run counts once.

    Attributes:
        run_id: The run.
        code_location: The name of its code location.
        start: When it left the queue, in seconds since the epoch.
        end: When it ended or was put back; None while it is still in progress. Not itself part of the time.
    """

    run_id: str
    code_location: str
    start: float
    end: float | None

    def includes(self, time: float) -> bool:
        """Whether the run was in progress at a time."""
        return self.start <= time and (self.end is None or time < self.end)


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


def _of(runs: list[InProgress], code_location: str) -> list[InProgress]:
    return [run for run in runs if run.code_location == code_location]


def _at_each_start(runs: list[InProgress]) -> list[tuple[float, frozenset[str]]]:
    """The runs in progress at each start: between two starts their number can only fall."""
    return [
        (start, frozenset(run.run_id for run in runs if run.includes(start)))
        for start in sorted({run.start for run in runs})
    ]
