"""Limits within code locations: the most runs in progress of each job and of each backfill. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable

from clt_queued_run_coordinator.limits.configuration import CodeLocationLimits, Entry
from clt_queued_run_coordinator.queue.queued_run import JobAndBackfill
from clt_queued_run_coordinator.queue.queued_runs import NO_CODE_LOCATION, KeepApart, MayStart


class Within:
    """What is in progress of the jobs and backfills of each code location.

    Args:
        limits: The configured limits.
        in_progress: The code location, the job and the backfill of each run in progress.
        by_hand: The code locations of which only runs may start that somebody launched by hand.
    """

    def __init__(
        self,
        limits: CodeLocationLimits,
        in_progress: Iterable[tuple[str, JobAndBackfill]] = (),
        by_hand: Collection[str] = (),
    ) -> None:
        self._limits = limits
        self._by_hand = by_hand
        self._of_job: Counter[tuple[str, str]] = Counter()
        self._of_backfill: Counter[tuple[str, str]] = Counter()
        for code_location, of_run in in_progress if limits.has_limits_within else ():
            self.take(code_location, of_run)

    def copy(self) -> "Within":
        """The same, to go on counting from here."""
        copy = Within(self._limits, by_hand=self._by_hand)
        copy._of_job, copy._of_backfill = self._of_job.copy(), self._of_backfill.copy()
        return copy

    def _entry(self, code_location: str) -> Entry:
        return Entry() if code_location == NO_CODE_LOCATION else self._limits.entry(code_location)

    def has_room(self, code_location: str, of_run: JobAndBackfill) -> bool:
        """Whether one more run of its job and of its backfill may be in progress."""
        if of_run.automatic and code_location in self._by_hand:
            return False
        entry = self._entry(code_location)
        job, backfill, _ = of_run
        if job is not None:
            most = entry.max_per_job.of(job)
            if most is not None and self._of_job[code_location, job] >= most:
                return False
        most = entry.max_per_backfill
        return backfill is None or most is None or self._of_backfill[code_location, backfill] < most

    def take(self, code_location: str, of_run: JobAndBackfill) -> None:
        """Count a run that is in progress, or starts."""
        entry = self._entry(code_location)
        job, backfill, _ = of_run
        if job is not None and entry.max_per_job.of(job) is not None:
            self._of_job[code_location, job] += 1
        if backfill is not None and entry.max_per_backfill is not None:
            self._of_backfill[code_location, backfill] += 1

    def room_of(self, code_location: str) -> MayStart | None:
        """`has_room` of one code location; None where it has no such limits."""
        if not self._entry(code_location).has_limits_within and code_location not in self._by_hand:
            return None
        return lambda of_run: self.has_room(code_location, of_run)


def keep_apart(limits: CodeLocationLimits) -> KeepApart | None:
    """What tells the runs apart that limits can hold from those that they can't: only what counts.

    So the lines of the queue stay few, however many jobs and backfills there are that nothing limits.

    Returns:
        None where no job and no backfill is limited, and no circuit breaker lets manual launches pass.
    """
    if not limits.has_limits_within and not limits.lets_manual_launches_pass:
        return None

    def what_counts(code_location: str, of_run: JobAndBackfill) -> JobAndBackfill:
        entry = limits.entry(code_location)
        job, backfill, automatic = of_run
        return JobAndBackfill(
            None if job is None or entry.max_per_job.of(job) is None else job,
            None if entry.max_per_backfill is None else backfill,
            automatic and entry.breaker is not None and entry.breaker.manual_launches,
        )

    return what_counts
