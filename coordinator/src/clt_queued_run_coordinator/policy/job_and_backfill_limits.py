"""The limits on jobs and backfills within a code location, and the turns of its backfills. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from clt_queued_run_coordinator.config.options import CodeLocationEntry, CodeLocationLimits
from clt_queued_run_coordinator.policy.backfill_share import BackfillTurns
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION, JobAndBackfill, QueuedRun

_SOME_BACKFILL = ""
"""Stands for a backfill's id if it doesn't matter which backfill it is."""

Counted = tuple[str, str, str]
"""What runs in progress are counted by: their code location, and the kind and name of a job or backfill in it."""


class JobAndBackfillLimits:
    """Counts the runs in progress of each job and backfill, and knows whether another one may start.

    For what the backfills of each code location have earned see `BackfillTurns`.
    """

    def __init__(
        self,
        limits: CodeLocationLimits,
        in_progress: Iterable[tuple[str, JobAndBackfill]] = (),
        earned: Mapping[str, float] | None = None,
    ) -> None:
        self.limits = limits
        self._earned = earned or {}
        self.backfill_turns: dict[str, BackfillTurns] = {}
        """The turns of backfills, for each code location whose turns were asked for."""
        self._in_progress: Counter[Counted] = Counter()
        for code_location, of_run in in_progress if limits.used & {"max_per_job", "max_per_backfill"} else ():
            self.count(code_location, of_run)

    def copy(self) -> "JobAndBackfillLimits":
        """A copy that continues counting from the same state."""
        copy = JobAndBackfillLimits(self.limits, earned=self._earned)
        copy.backfill_turns = {name: turns.copy() for name, turns in self.backfill_turns.items()}
        copy._in_progress = self._in_progress.copy()
        return copy

    def _entry(self, code_location: str) -> CodeLocationEntry:
        return CodeLocationEntry() if code_location == NO_CODE_LOCATION else self.limits.entry(code_location)

    def limited(self, code_location: str, of_run: JobAndBackfill) -> list[tuple[Counted, int]]:
        """The job and the backfill of a run, as far as they are limited, with their limits."""
        entry = self._entry(code_location)
        limited: list[tuple[Counted, int]] = []
        if of_run.job is not None and (most := entry.max_per_job.of(of_run.job)) is not None:
            limited.append(((code_location, "job", of_run.job), most))
        if of_run.backfill is not None and entry.max_per_backfill is not None:
            limited.append(((code_location, "backfill", of_run.backfill), entry.max_per_backfill))
        return limited

    def has_room(self, code_location: str, of_run: JobAndBackfill) -> bool:
        """Whether another run of this job and this backfill may start."""
        return all(self._in_progress[counted] < most for counted, most in self.limited(code_location, of_run))

    def count(self, code_location: str, of_run: JobAndBackfill) -> None:
        """Count a run that is in progress or starts."""
        self._in_progress.update(counted for counted, _ in self.limited(code_location, of_run))

    def turns_of(self, code_location: str) -> BackfillTurns | None:
        """The turns of backfills in a code location; None if Dagster's order decides there."""
        share = self._entry(code_location).backfill_share
        if share is None:
            return None
        if code_location not in self.backfill_turns:
            self.backfill_turns[code_location] = BackfillTurns(share, self._earned.get(code_location, 0.0))
        return self.backfill_turns[code_location]

    def place(self, code_location: str, run: QueuedRun) -> QueuedRun:
        """The run whose place counts between code locations when this one is next."""
        turns = self.turns_of(code_location)
        return turns.place(run) if turns else run

    def start(self, code_location: str, run: QueuedRun, of_run: JobAndBackfill) -> None:
        """Count a start. The run is the last one that was yielded for its code location."""
        self.count(code_location, of_run)
        turns = self.turns_of(code_location)
        if turns:
            turns.start(run.storage_id)


def lane_key(limits: CodeLocationLimits) -> Callable[[str, JobAndBackfill], JobAndBackfill] | None:
    """The function that assigns runs to lanes; None if no limit within a code location is configured.

    It keeps only what the configured limits depend on. So there are few lanes, however many jobs and backfills
    there are without a limit.
    """
    if not limits.used & {"max_per_job", "max_per_backfill", "backfill_share"}:
        return None

    def what_counts(code_location: str, of_run: JobAndBackfill) -> JobAndBackfill:
        entry = limits.entry(code_location)
        job, backfill = of_run.job, of_run.backfill
        if job is not None and entry.max_per_job.of(job) is None:
            job = None
        if backfill is not None and entry.max_per_backfill is None:
            backfill = None if entry.backfill_share is None else _SOME_BACKFILL
        return JobAndBackfill(job, backfill)

    return what_counts
