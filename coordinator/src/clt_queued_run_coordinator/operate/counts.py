"""Counts the queued runs and the runs in progress of each code location, for status, metrics and the UI.

The daemon's tick doesn't use this; see `queued_runs`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    IN_PROGRESS_STATUSES,
    REPOSITORY_LABEL_TAG,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunsTable,
    RunTagsTable,
    deserialize_value,
    run_database,
)
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY
from clt_queued_run_coordinator.store.code_location import code_location_of
from clt_queued_run_coordinator.store.rows import utc


@dataclass
class Count:
    """The runs of one code location.

    Attributes:
        queued: Runs in the queue.
        in_progress: Runs that hold a slot, in the statuses that the daemon of the installed Dagster counts.
        oldest: When the oldest queued run was created, in UTC; None if nothing is queued.
    """

    queued: int = 0
    in_progress: int = 0
    oldest: datetime | None = None


@dataclass
class Counts:
    """The runs of every code location that has any queued or in progress.

    Attributes:
        by_code_location: The counts by code location.
        without_code_location: Runs in progress without an origin. Each of them uses a slot.
        queued_without_code_location: Queued runs without an origin. Dagster queues none, but other programs can.
    """

    by_code_location: dict[str, Count] = field(default_factory=dict)
    without_code_location: int = 0
    queued_without_code_location: int = 0

    def of(self, code_location: str) -> Count:
        """The count of a code location; it is added if it is missing."""
        return self.by_code_location.setdefault(code_location, Count())

    @property
    def in_progress(self) -> int:
        """All runs in progress: the number that the daemon compares with `max_concurrent_runs`."""
        return self.without_code_location + sum(c.in_progress for c in self.by_code_location.values())

    @property
    def queued(self) -> int:
        """All queued runs."""
        return self.queued_without_code_location + sum(c.queued for c in self.by_code_location.values())


@contextmanager
def reading(instance: DagsterInstance) -> Iterator[db.Connection]:
    """A connection for queries that look up the tags of many runs.

    By default PostgreSQL assumes that index lookups hit the disk, and would rather read all the tags of a long
    history. The tags are in memory, and in this transaction PostgreSQL is told so.
    """
    with run_database(instance).connect() as connection:
        if connection.dialect.name != "postgresql":
            yield connection
            return
        with connection.execution_options(isolation_level="READ COMMITTED").begin():
            connection.exec_driver_sql("SET LOCAL random_page_cost = 1.1")
            yield connection


def read(connection: db.Connection, *, only_in_progress: bool = False) -> Counts:
    """Count the runs.

    The origin of a run decides its code location. Dagster writes it to a label when it creates the run.

    Args:
        connection: From `reading`.
        only_in_progress: Leave out the queued runs, of which there may be many.
    """
    counts = Counts()
    of_interest = [status.value for status in IN_PROGRESS_STATUSES]
    if not only_in_progress:
        of_interest.append(DagsterRunStatus.QUEUED.value)
    rows = connection.execute(_query(of_interest, db.func.count())).mappings().all()
    if sum(row["runs"] for row in rows) != connection.execute(_total(of_interest)).scalar():
        # A run has two labels, or runs came or went in between. Counting distinct runs takes longer.
        rows = connection.execute(_query(of_interest, db.func.count(RunsTable.c.id.distinct()))).mappings().all()
    for row in rows:
        if row["label"] is not None:
            _add(counts, row["label"].partition("@")[2], row)
    if any(row["label"] is None for row in rows):
        for row in connection.execute(_unlabelled(of_interest)).mappings():
            _add(counts, code_location_of(deserialize_value(row["run_body"], DagsterRun)), row)
    return counts


def _runs_and_labels() -> tuple[db.FromClause, db.FromClause]:
    label = RunTagsTable.alias("label")
    # Concatenating "" keeps SQLite from using its index on the keys, which would read the whole history.
    has_key = label.c.key.concat("") == REPOSITORY_LABEL_TAG
    return RunsTable.outerjoin(label, db.and_(label.c.run_id == RunsTable.c.run_id, has_key)), label


def _total(of_interest: list[str]) -> db.Select[tuple[int]]:
    return db.select(db.func.count()).select_from(RunsTable).where(RunsTable.c.status.in_(of_interest))


def _query(of_interest: list[str], runs: db.Function[int]) -> db.Select[tuple[object, ...]]:
    joined, label = _runs_and_labels()
    return (
        db.select(
            RunsTable.c.status,
            label.c.value.label("label"),
            runs.label("runs"),
            db.func.min(RunsTable.c.create_timestamp).label("oldest"),
        )
        .select_from(joined)
        .where(RunsTable.c.status.in_(of_interest))
        .group_by(RunsTable.c.status, label.c.value)
    )


def _unlabelled(of_interest: list[str]) -> db.Select[tuple[object, ...]]:
    """The runs without a label. They are few, and their bodies name their code locations, if they have any."""
    joined, label = _runs_and_labels()
    return (
        db.select(
            RunsTable.c.status,
            RunsTable.c.run_body,
            db.literal(1).label("runs"),
            RunsTable.c.create_timestamp.label("oldest"),
        )
        .select_from(joined)
        .where(RunsTable.c.status.in_(of_interest), label.c.value.is_(None))
    )


def _add(counts: Counts, code_location: str | None, row: db.RowMapping) -> None:
    runs = int(row["runs"])
    if row["status"] != DagsterRunStatus.QUEUED.value:
        if code_location is None:
            counts.without_code_location += runs
        else:
            counts.of(code_location).in_progress += runs
    elif code_location is None:
        counts.queued_without_code_location += runs
    else:
        count = counts.of(code_location)
        count.queued += runs
        oldest = row["oldest"]
        created = utc(oldest) if isinstance(oldest, datetime) else None
        count.oldest = min(filter(None, (count.oldest, created)), default=None)


def known_code_locations(instance: DagsterInstance) -> set[str]:
    """The names of all code locations that a run was ever tagged with.

    It takes one lookup in the index on keys and values for each name, whatever the number of runs. For a DISTINCT,
    neither database would skip from one value to the next.
    """
    with run_database(instance).connect() as connection:
        return set(connection.execute(_known()).scalars())


def _known() -> db.Select[tuple[str]]:
    key, value = RunTagsTable.c.key, RunTagsTable.c.value
    first = db.select(value).where(key == CLT_TAG_KEY, value.is_not(None)).order_by(value).limit(1)
    known = db.select(first.scalar_subquery().label("name")).cte("known", recursive=True)
    following = db.select(value).where(key == CLT_TAG_KEY, value > known.c.name).order_by(value).limit(1)
    step = db.select(following.scalar_subquery()).select_from(known).where(known.c.name.is_not(None))
    names = known.union_all(step)
    return db.select(names.c.name).where(names.c.name.is_not(None))
