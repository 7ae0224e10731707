"""A queued run, as far as its place in Dagster's order and within its code location goes. Pure."""

from collections.abc import Container
from typing import NamedTuple

from clt_queued_run_coordinator._dagster import (
    BACKFILL_ID_TAG,
    LAUNCHED_BY_TAGS,
    PARENT_RUN_ID_TAG,
    RETRY_NUMBER_TAG,
    DagsterRun,
)


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
        automatic: Whether nobody launched it by hand; False where that doesn't count.
    """

    job: str | None = None
    backfill: str | None = None
    automatic: bool = False

    @classmethod
    def of(cls, run: DagsterRun) -> "JobAndBackfill":
        """What a run belongs to."""
        return cls(run.job_name, run.tags.get(BACKFILL_ID_TAG), is_automatic(run.tags))


TAGS_OF_AUTOMATIC_RUNS = (BACKFILL_ID_TAG, RETRY_NUMBER_TAG, PARENT_RUN_ID_TAG, *LAUNCHED_BY_TAGS)
"""The tags that `is_automatic` looks at."""


def is_automatic(tags: Container[str]) -> bool:
    """Whether a schedule, a sensor, automation, a backfill or an automatic retry launched a run.

    A re-execution keeps the tags of its parent; one by hand carries no number of a retry.

    Args:
        tags: The keys of its tags.
    """
    if BACKFILL_ID_TAG in tags or RETRY_NUMBER_TAG in tags:
        return True
    return PARENT_RUN_ID_TAG not in tags and any(tag in tags for tag in LAUNCHED_BY_TAGS)


def is_manual(of_run: JobAndBackfill) -> bool:
    """Whether somebody launched a run by hand."""
    return not of_run.automatic
