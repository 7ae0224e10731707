"""Reads runs from the run database by the storage's ids, in statements of a bounded size, and their times."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from itertools import islice
from typing import TypeVar

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterRun, DagsterRunStatus, RunsTable, deserialize_value

ROWS_PER_STATEMENT = 500
"""The most ids in one statement: few enough that PostgreSQL always uses the index."""

Id = TypeVar("Id", int, str)


def in_chunks(ids: Iterable[Id]) -> Iterator[list[Id]]:
    """Split ids into chunks of `ROWS_PER_STATEMENT`."""
    rest = iter(ids)
    while chunk := list(islice(rest, ROWS_PER_STATEMENT)):
        yield chunk


def run_ids(connection: db.Connection, numbers: Iterable[int]) -> dict[int, str]:
    """The run ids of runs, by the storage's id."""
    ids: dict[int, str] = {}
    for chunk in in_chunks(numbers):
        query = db.select(RunsTable.c.id, RunsTable.c.run_id).where(RunsTable.c.id.in_(chunk))
        ids.update((number, run_id) for number, run_id in connection.execute(query).all())
    return ids


def load_runs(connection: db.Connection, run_ids: Iterable[int]) -> dict[int, DagsterRun]:
    """Load those of the runs that are still queued, by the storage's id."""
    runs = {}
    for chunk in in_chunks(run_ids):
        rows = connection.execute(
            db.select(RunsTable.c.id, RunsTable.c.run_body).where(
                RunsTable.c.id.in_(chunk), RunsTable.c.status == DagsterRunStatus.QUEUED.value
            )
        )
        for run_id, body in rows.all():
            # The status column is authoritative; the body may hold an older status.
            runs[run_id] = deserialize_value(body, DagsterRun).with_status(DagsterRunStatus.QUEUED)
    return runs


def utc(stored: datetime) -> datetime:
    """A stored time in UTC. The storages keep UTC, but without a time zone."""
    return stored.replace(tzinfo=timezone.utc) if stored.tzinfo is None else stored
