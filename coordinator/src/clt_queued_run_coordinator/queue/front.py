"""The front of the queue, and a run's place in it, read without the rest: for people who look at one run.

The daemon's tick does not use it; see `queued_runs`. A priority is the text of a tag, which only Python reads as
Dagster does. So the database groups by that text, and what it means is worked out here.
"""

from collections.abc import Collection, Iterable

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    PRIORITY_TAG,
    REPOSITORY_LABEL_TAG,
    DagsterRunStatus,
    RunsTable,
    RunTagsTable,
)
from clt_queued_run_coordinator.queue.counts import Count, Counts
from clt_queued_run_coordinator.queue.queued_run import QueuedRun
from clt_queued_run_coordinator.queue.queued_runs import NO_CODE_LOCATION, QueuedRuns, priority_of


class FrontOfQueue(QueuedRuns):
    """The first queued runs of some code locations.

    Args:
        counts: How many runs are queued, and how they are labelled.
    """

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self._counts = counts

    def counts(self) -> dict[str, int]:
        """How many runs are queued of each code location, whether they were read or not."""
        return queued_counts(self._counts)

    def read(self, connection: db.Connection, code_locations: Iterable[str] = (), most: int = 0) -> None:
        """Read the first runs of code locations, and those that Dagster has not labelled.

        Args:
            connection: From `counts.reading`.
            code_locations: Their names.
            most: How many of each; of each priority so many are read.
        """
        counts = self._counts.by_code_location
        labels = {label for name in code_locations if name in counts for label in counts[name].labels}
        if labels:
            for run_id, label, priority in connection.execute(_first(labels, most)).all():
                if run_id not in self:  # a tag may be there twice
                    self._add(run_id, label.partition("@")[2], priority_of(priority))
        self._look_up(connection, sorted(self._counts.unlabelled))


def place(connection: db.Connection, counts: Counts, code_location: str, run: QueuedRun) -> tuple[int, QueuedRun]:
    """A run's place in Dagster's order, which is by priority, then age.

    Args:
        connection: From `counts.reading`.
        counts: How many runs are queued, and how they are labelled.
        code_location: The run's.
        run: The run.

    Returns:
        How many queued runs of its code location go before it, and the first of them, which may be itself.
    """
    before, first = 0, run
    labels = counts.by_code_location.get(code_location, Count()).labels
    if labels:
        for text, runs, older, oldest in connection.execute(_by_priority(labels, run.id)).all():
            priority = priority_of(text)
            before += runs if priority > run.priority else older if priority == run.priority else 0
            first = min(first, QueuedRun(priority, oldest), key=lambda queued: queued.place)
    unlabelled = FrontOfQueue(counts)
    unlabelled.read(connection)
    for other in unlabelled.in_order(code_location):
        before += other.place < run.place
        first = min(first, other, key=lambda queued: queued.place)
    return before, first


def priority_in(connection: db.Connection, run_id: str) -> int:
    """The priority of a run by its rows, as the daemon's order has it.

    Args:
        connection: To the instance's run database.
        run_id: The run's id.
    """
    rows = RunTagsTable.c.run_id == run_id, RunTagsTable.c.key.concat("") == PRIORITY_TAG
    return priority_of(connection.execute(db.select(RunTagsTable.c.value).where(*rows)).scalar())


def queued_counts(counts: Counts) -> dict[str, int]:
    """How many runs are queued of each code location that has any, `NO_CODE_LOCATION` among them."""
    queued = {name: count.queued for name, count in counts.by_code_location.items()}
    queued[NO_CODE_LOCATION] = counts.queued_without_code_location
    return {name: runs for name, runs in queued.items() if runs}


def _labelled(
    labels: Collection[str],
) -> tuple[db.FromClause, db.FromClause, db.FromClause, db.ColumnElement[bool]]:
    """The queued runs with some labels, and their priorities."""
    label, priority = RunTagsTable.alias("label"), RunTagsTable.alias("priority")
    # Joined to nothing, a key would lead SQLite to its index on the keys, and through all of the history.
    has_label = db.and_(label.c.run_id == RunsTable.c.run_id, label.c.key.concat("") == REPOSITORY_LABEL_TAG)
    has_priority = db.and_(priority.c.run_id == RunsTable.c.run_id, priority.c.key.concat("") == PRIORITY_TAG)
    joined = RunsTable.join(label, has_label).outerjoin(priority, has_priority)
    wanted = db.and_(
        RunsTable.c.status == DagsterRunStatus.QUEUED.value, label.c.value.concat("").in_(sorted(labels))
    )
    return joined, label, priority, wanted


def _by_priority(labels: Collection[str], run_id: int) -> db.Select[tuple[str, int, int, int]]:
    joined, _, priority, wanted = _labelled(labels)
    older = db.func.sum(db.case((RunsTable.c.id < run_id, 1), else_=0))
    return (
        db.select(priority.c.value, db.func.count(), older, db.func.min(RunsTable.c.id))
        .select_from(joined)
        .where(wanted)
        .group_by(priority.c.value)
    )


def _first(labels: Collection[str], most: int) -> db.Select[tuple[int, str, str]]:
    joined, label, priority, wanted = _labelled(labels)
    place = db.func.row_number().over(partition_by=(label.c.value, priority.c.value), order_by=RunsTable.c.id)
    queued = (
        db.select(
            RunsTable.c.id, label.c.value.label("label"), priority.c.value.label("priority"), place.label("place")
        )
        .select_from(joined)
        .where(wanted)
        .subquery()
    )
    return (
        db.select(queued.c.id, queued.c.label, queued.c.priority)
        .where(queued.c.place <= most)
        .order_by(queued.c.id)
    )
