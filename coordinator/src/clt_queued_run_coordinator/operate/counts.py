"""Counts the queued runs and the runs in progress of each code location, for status, metrics and the UI.

The daemon's tick doesn't use this; see `queued_runs`.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    IN_PROGRESS_STATUSES,
    DagsterInstance,
    DagsterRunStatus,
    RunsTable,
    RunTagsTable,
    run_database,
)
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY
from clt_queued_run_coordinator.store.code_location import body_has, by_bodies, by_rows
from clt_queued_run_coordinator.store.database_clock import in_utc, utc


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


def read(connection: db.Connection, *, only_in_progress: bool = False) -> Counts:
    """Count the runs by the code locations of their origins.

    Args:
        connection: From `transaction.reading`.
        only_in_progress: Leave out the queued runs, of which there may be many.
    """
    counts = Counts()
    of_interest = [status.value for status in IN_PROGRESS_STATUSES]
    if not only_in_progress:
        of_interest.append(DagsterRunStatus.QUEUED.value)
    columns = RunsTable.c
    runs = (
        db.select(columns.id, columns.status, in_utc(columns.create_timestamp).label("created"))
        .add_columns(by_rows().label("name"))
        .where(columns.status.in_(of_interest))
        .subquery()
    )
    grouped = db.select(runs.c.status, runs.c.name, db.func.count(), db.func.min(runs.c.created))
    is_clear = True
    for status, name, number, oldest in connection.execute(grouped.group_by(runs.c.status, runs.c.name)).all():
        if name is None:
            is_clear = False
        else:
            _add(counts, name, status, number, oldest)
    if is_clear:
        return counts
    doubtful = db.select(runs.c.id, runs.c.status, runs.c.created).where(runs.c.name.is_(None))
    by_id = {storage_id: (status, created) for storage_id, status, created in connection.execute(doubtful).all()}
    for storage_id, name in by_bodies(connection, by_id):
        status, created = by_id[storage_id]
        _add(counts, name, status, 1, created)
    return counts


def _add(counts: Counts, code_location: str | None, status: str, runs: int, oldest: datetime | None) -> None:
    if status != DagsterRunStatus.QUEUED.value:
        if code_location is None:
            counts.without_code_location += runs
        else:
            counts.of(code_location).in_progress += runs
    elif code_location is None:
        counts.queued_without_code_location += runs
    else:
        count = counts.of(code_location)
        count.queued += runs
        created = utc(oldest) if isinstance(oldest, datetime) else None
        count.oldest = min(filter(None, (count.oldest, created)), default=None)


def known_code_locations(instance: DagsterInstance) -> set[str]:
    """The names of all code locations that a run was ever tagged with and came from.

    It takes one lookup in the index on keys and values for each name, whatever the number of runs. For a DISTINCT,
    neither database would skip from one value to the next. A run that came past the coordinator may carry any
    name.
    """
    with run_database(instance).connect() as connection:
        names = list(connection.execute(_known()).scalars())
        return {name for name in names if _came_from(connection, name)}


LOOKED_AT = 20
"""The most runs with a name in their tag whose bodies are read."""


def _came_from(connection: db.Connection, name: str) -> bool:
    tags = RunTagsTable.c
    ids = (
        db.select(RunsTable.c.id)
        .select_from(RunsTable.join(RunTagsTable, tags.run_id == RunsTable.c.run_id))
        .where(tags.key == CLT_TAG_KEY, tags.value == name, body_has(f'"location_name": {json.dumps(name)}'))
        .limit(LOOKED_AT)
    )
    storage_ids = connection.execute(ids).scalars().all()
    return any(origin == name for _, origin in by_bodies(connection, storage_ids))


def _known() -> db.Select[tuple[str]]:
    key, value = RunTagsTable.c.key, RunTagsTable.c.value
    first = db.select(value).where(key == CLT_TAG_KEY, value.is_not(None)).order_by(value).limit(1)
    known = db.select(first.scalar_subquery().label("name")).cte("known", recursive=True)
    following = db.select(value).where(key == CLT_TAG_KEY, value > known.c.name).order_by(value).limit(1)
    step = db.select(following.scalar_subquery()).select_from(known).where(known.c.name.is_not(None))
    names = known.union_all(step)
    return db.select(names.c.name).where(names.c.name.is_not(None))
