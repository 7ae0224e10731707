"""Reads runs and their tags from the run database, in statements of a bounded size.

The tags of a run are rows of `run_tags`, which holds those of the whole history. PostgreSQL without statistics, as
after a restore, would rather read all of it than look up a few runs. So each query here asks for the tags of one
run at a time: a subquery with its own order or aggregate, which no planner merges into a join. Concatenating "" to
the key keeps SQLite from using its index on the keys, which would read the whole history as well.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    DagsterRun,
    DagsterRunStatus,
    RunsTable,
    RunTagsTable,
    deserialize_value,
)
from clt_queued_run_coordinator.store.database_clock import in_utc, utc

ROWS_PER_STATEMENT = 500
"""The most ids in one statement: few enough that PostgreSQL always uses the index."""

IS_QUEUED = RunsTable.c.status == DagsterRunStatus.QUEUED.value

Id = TypeVar("Id", int, str)


def in_chunks(ids: Iterable[Id]) -> Iterator[list[Id]]:
    """Split ids into chunks of `ROWS_PER_STATEMENT`."""
    rest = iter(ids)
    while chunk := list(islice(rest, ROWS_PER_STATEMENT)):
        yield chunk


def of_runs(connection: db.Connection, query: "db.Select[Any]", storage_ids: Iterable[int]) -> Iterator[Any]:
    """The rows that a query of runs finds for some of them, by the storage's ids."""
    for chunk in in_chunks(storage_ids):
        yield from connection.execute(query.where(RunsTable.c.id.in_(chunk))).all()


def run_ids(connection: db.Connection, storage_ids: Iterable[int]) -> dict[int, str]:
    """The run ids of runs, by the storage's id."""
    return dict(of_runs(connection, db.select(RunsTable.c.id, RunsTable.c.run_id), storage_ids))


def created_at(connection: db.Connection, storage_ids: Iterable[int]) -> dict[int, datetime]:
    """When runs were created, in UTC, by the storage's id."""
    query = db.select(RunsTable.c.id, in_utc(connection, RunsTable.c.create_timestamp))
    return {storage_id: utc(created) for storage_id, created in of_runs(connection, query, storage_ids)}


def load_runs(connection: db.Connection, storage_ids: Iterable[int]) -> dict[int, DagsterRun]:
    """Load those of the runs that are still queued and can be read, by the storage's id."""
    query = db.select(RunsTable.c.id, RunsTable.c.run_body).where(IS_QUEUED)
    bodies = ((storage_id, run_of(body)) for storage_id, body in of_runs(connection, query, storage_ids))
    # The status column is authoritative; the body may hold an older status.
    return {storage_id: run.with_status(DagsterRunStatus.QUEUED) for storage_id, run in bodies if run}


def run_of(body: str | None) -> DagsterRun | None:
    """The run that a stored body holds; None if it can't be read, whoever wrote it."""
    try:
        return deserialize_value(body or "", DagsterRun)
    except Exception:  # noqa: BLE001 - whatever a body holds, it must not end a tick or a command
        return None


def has_key(tags: db.FromClause, keys: Collection[str]) -> db.ColumnElement[bool]:
    """Whether a row of `run_tags` or an alias is of the run of the enclosing query and has one of some keys."""
    return db.and_(tags.c.run_id == RunsTable.c.run_id, tags.c.key.concat("").in_(keys))


def tags_of(
    connection: db.Connection, storage_ids: Sequence[int], keys: Collection[str]
) -> dict[int, list[tuple[str, str]]]:
    """Those tags of runs that have one of some keys, in the order of their rows, by the storage's id."""
    row: db.FromClause = RunTagsTable
    joined = RunsTable.join(row, has_key(row, keys))
    if connection.dialect.name == "postgresql":
        one_run = db.select(RunTagsTable).where(has_key(RunTagsTable, keys)).order_by(RunTagsTable.c.id)
        row = one_run.correlate(RunsTable).lateral()
        joined = RunsTable.join(row, db.true())
    query = db.select(RunsTable.c.id, row.c.key, row.c.value).select_from(joined).order_by(row.c.id)
    tags: dict[int, list[tuple[str, str]]] = {}
    for storage_id, key, value in of_runs(connection, query, storage_ids):
        tags.setdefault(storage_id, []).append((key, value or ""))
    return tags
