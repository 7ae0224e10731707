"""A queued run, as far as its place in Dagster's order and within its code location goes. Pure."""

from typing import NamedTuple

from clt_queued_run_coordinator._dagster import BACKFILL_ID_TAG, DagsterRun


class QueuedRun(NamedTuple):
    """A run in the queue, as far as its place depends on it.

    Attributes:
        priority: Dagster's priority; the larger goes first.
        id: The storage's number of the run; of two with the same priority the smaller, older one goes first.
    """

    priority: int
    id: int

    @property
    def place(self) -> tuple[int, int]:
        """Dagster's order: the smallest goes first."""
        return -self.priority, self.id


class JobAndBackfill(NamedTuple):
    """What a run belongs to within its code location; None where it belongs to none, or where that doesn't count.

    Attributes:
        job: The name of its job; `__ASSET_JOB` for runs of assets.
        backfill: The id of its backfill.
    """

    job: str | None = None
    backfill: str | None = None

    @classmethod
    def of(cls, run: DagsterRun) -> "JobAndBackfill":
        """What a run belongs to."""
        return cls(run.job_name, run.tags.get(BACKFILL_ID_TAG))
