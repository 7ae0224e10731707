"""Counts the runs of each code location, for status, metrics and the UI. The daemon's tick has its own order."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterRunStatus, RunsTable
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.store.code_location import by_bodies, by_rows
from clt_queued_run_coordinator.store.database_clock import in_utc, utc


class Count(NamedTuple):
    """Runs of one code location: how many, and the oldest: when it was created, in UTC, and its storage's id."""

    runs: int = 0
    oldest: datetime | None = None
    first: int | None = None


def read(connection: db.Connection, statuses: Iterable[DagsterRunStatus]) -> dict[str, Count]:
    """Count the runs in some statuses by the code locations of their origins, on a connection that is `reading`.

    `NO_CODE_LOCATION` stands for runs without an origin. Dagster queues none of these, but other programs can, and
    in progress each of them uses a slot.
    """
    columns = RunsTable.c
    runs = (
        db.select(
            columns.id, in_utc(connection, columns.create_timestamp).label("created"), by_rows().label("name")
        )
        .where(columns.status.in_([status.value for status in statuses]))
        .subquery()
    )
    oldest_of_it = db.func.min(runs.c.created), db.func.min(runs.c.id)
    grouped = db.select(runs.c.name, db.func.count(), *oldest_of_it).group_by(runs.c.name)
    found: list[tuple[str | None, int, datetime | None, int]] = []
    is_doubtful = False
    for name, number, oldest, first in connection.execute(grouped).tuples():
        if name is None:
            is_doubtful = True
        else:
            found.append((name, number, oldest, first))
    if is_doubtful:
        query = db.select(runs.c.id, runs.c.created).where(runs.c.name.is_(None))
        created = dict(connection.execute(query).tuples().all())
        found += [(name, 1, created[of_it], of_it) for of_it, name in by_bodies(connection, created)]
    counts: dict[str, Count] = {}
    for name, number, oldest, first in found:
        before = counts.get(name or NO_CODE_LOCATION, Count())
        both = filter(None, (before.oldest, oldest and utc(oldest)))
        oldest_of_all = min(both, default=None), min(first, before.first or first)
        counts[name or NO_CODE_LOCATION] = Count(before.runs + number, *oldest_of_all)
    return counts
