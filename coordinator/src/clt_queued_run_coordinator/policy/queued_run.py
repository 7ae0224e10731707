"""What decides a queued run's place in Dagster's order and within its code location. Pure."""

from collections.abc import Callable, Hashable
from typing import NamedTuple

from clt_queued_run_coordinator._dagster import (
    BACKFILL_ID_TAG,
    LAUNCHED_BY_TAGS,
    RETRY_NUMBER_TAG,
    DagsterRun,
)

NO_CODE_LOCATION = ""
"""Stands for the code location of a run without an origin. None of this package's limits applies to it."""


class QueuedRun(NamedTuple):
    """A queued run, reduced to what decides its place in the queue.

    The higher priority goes first. Of two runs with the same one, the one with the smaller number in the storage
    goes first, which is the older one.
    """

    priority: int
    storage_id: int
    slots: int = 1
    """How many it takes."""

    @property
    def place(self) -> tuple[int, int]:
        """Dagster's order as a sort key; the smallest goes first."""
        return -self.priority, self.storage_id


class JobAndBackfill(NamedTuple):
    """What a run belongs to within its code location. A part that nothing depends on is None.

    Attributes:
        job: The name of its job; `__ASSET_JOB` for runs that materialize assets without a job of their own.
        backfill: The id of its backfill; None if it isn't part of one.
        needs: What it needs of Dagster's tag limits and pools; None as long as its body hasn't been read.
        is_manual: Whether a person launched it; None as long as it doesn't matter, or its body hasn't been read.
        slots: How many it takes.
    """

    job: str | None = None
    backfill: str | None = None
    needs: Hashable | None = None
    is_manual: bool | None = None
    slots: int = 1

    @classmethod
    def of(cls, run: DagsterRun) -> "JobAndBackfill":
        """What a run belongs to."""
        return cls(run.job_name, run.tags.get(BACKFILL_ID_TAG))


MayStart = Callable[[JobAndBackfill], bool]
"""Whether the runs of a lane may start."""


def is_manual(run: DagsterRun) -> bool:
    """Whether a person launched a run: no schedule, sensor, automation, backfill or automatic retry did.

    A re-execution keeps the tags of its parent. What tells it apart is the parent that Dagster itself writes into
    a field of the run; the tag with the parent's id can be written by a sensor too.
    """
    if BACKFILL_ID_TAG in run.tags or RETRY_NUMBER_TAG in run.tags:
        return False
    return run.parent_run_id is not None or not any(tag in run.tags for tag in LAUNCHED_BY_TAGS)


def priority_of(value: str | None) -> int:
    """A priority as Dagster reads it from its tag; 0 if the tag is missing or not a number."""
    try:
        return int(value or 0)
    except ValueError:
        return 0
