"""What decides a queued run's place in Dagster's order and within its code location. Pure."""

from collections.abc import Callable, Container
from typing import NamedTuple

from clt_queued_run_coordinator._dagster import (
    BACKFILL_ID_TAG,
    LAUNCHED_BY_TAGS,
    PARENT_RUN_ID_TAG,
    RETRY_NUMBER_TAG,
    DagsterRun,
)

NO_CODE_LOCATION = ""
"""Stands for the code location of a run without an origin. None of this package's limits applies to it."""


class QueuedRun(NamedTuple):
    """A queued run, reduced to what decides its place in the queue.

    Attributes:
        priority: Dagster's priority; the higher one goes first.
        id: The run's id in the storage. Of two runs with the same priority the smaller id, the older run, goes
            first.
    """

    priority: int
    id: int

    @property
    def place(self) -> tuple[int, int]:
        """Dagster's order as a sort key; the smallest goes first."""
        return -self.priority, self.id


class JobAndBackfill(NamedTuple):
    """What a run belongs to within its code location. A part that nothing depends on is left at its default.

    Attributes:
        job: The name of its job; `__ASSET_JOB` for runs that materialize assets without a job of their own.
        backfill: The id of its backfill; None if it isn't part of one.
        automatic: Whether something other than a manual launch created it; see `is_automatic`.
    """

    job: str | None = None
    backfill: str | None = None
    automatic: bool = False

    @classmethod
    def of(cls, run: DagsterRun) -> "JobAndBackfill":
        """What a run belongs to."""
        return cls(run.job_name, run.tags.get(BACKFILL_ID_TAG), is_automatic(run.tags))


LaneKey = Callable[[str, JobAndBackfill], JobAndBackfill]
"""Tells the lanes of a code location apart, by its name and what a run belongs to."""

MayStart = Callable[[JobAndBackfill], bool]
"""Whether the runs of a lane may start."""


TAGS_OF_AUTOMATIC_RUNS = (BACKFILL_ID_TAG, RETRY_NUMBER_TAG, PARENT_RUN_ID_TAG, *LAUNCHED_BY_TAGS)
"""The tags that `is_automatic` looks at."""


def is_automatic(tags: Container[str]) -> bool:
    """Whether a schedule, a sensor, automation, a backfill or an automatic retry launched a run.

    A re-execution keeps the tags of its parent. One that a person started has no retry number.

    Args:
        tags: The keys of the run's tags.
    """
    if BACKFILL_ID_TAG in tags or RETRY_NUMBER_TAG in tags:
        return True
    return PARENT_RUN_ID_TAG not in tags and any(tag in tags for tag in LAUNCHED_BY_TAGS)


def is_manual(of_run: JobAndBackfill) -> bool:
    """Whether a person launched a run."""
    return not of_run.automatic


def priority_of(value: str | None) -> int:
    """A priority as Dagster reads it from its tag; 0 if the tag is missing or not a number."""
    try:
        return int(value or 0)
    except ValueError:
        return 0
