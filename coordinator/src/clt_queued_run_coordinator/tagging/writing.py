"""Writes a tag to runs, through one connection: with PostgreSQL connecting costs most of a submit."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from itertools import islice
from typing import TypeVar

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    PRIORITY_TAG,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunsTable,
    RunTagsTable,
    deserialize_value,
    serialize_value,
)
from clt_queued_run_coordinator.tagging.code_location_tag import CLT_TAG_KEY
from clt_queued_run_coordinator.transaction import transaction

RUNS_PER_TRANSACTION = 500
"""How many runs are written at once: so few that nobody waits long for their locks."""

_QUEUED = (DagsterRunStatus.QUEUED.value,)
_NOT_STARTED = (DagsterRunStatus.NOT_STARTED.value, *_QUEUED)


def write_tags(where: DagsterInstance | db.Connection, code_locations: Mapping[str, str]) -> None:
    """Tag runs that are queued, or about to be, with their code locations; others are passed over.

    A run carries its tags twice: in its body, which the daemon's limits look at, and in rows, which filters look
    at. Both are written in one transaction, which begins with locking the run, so that of two writers the second
    finds what the first has written: there is no unique key that would keep a row from being doubled.
    `DagsterInstance.add_run_tags` takes two connections and no lock, and never adds a row that is missing.

    Runs in progress are left alone, since whoever handles their events may overwrite the body just then.

    Args:
        where: The instance whose runs they are; or a connection to its run database on PostgreSQL.
        code_locations: The name of each run's code location, by run id.
    """
    for some in _in_chunks(code_locations.items()):
        with transaction(where) as connection:
            _write(connection, CLT_TAG_KEY, dict(some), _NOT_STARTED)


def write_priority(instance: DagsterInstance, run_ids: Iterable[str], priority: int) -> int:
    """Give queued runs a priority, in Dagster's own tag; runs that have left the queue are passed over.

    As `write_tags` does it, so that no tag that another writer adds is lost, and a run that the daemon takes at
    this moment is either given its priority before, or not touched.

    Args:
        instance: Whose runs.
        run_ids: Their ids.
        priority: The larger goes first.

    Returns:
        How many runs were written.
    """
    written = 0
    for some in _in_chunks(run_ids):
        with transaction(instance) as connection:
            ids = _write(connection, PRIORITY_TAG, dict.fromkeys(some, str(priority)), _QUEUED)
            if ids:
                # As Dagster does it where tags are added. The daemon learns by it that the order has changed.
                now = datetime.now(timezone.utc)
                connection.execute(
                    RunsTable.update().where(RunsTable.c.run_id.in_(ids)).values(update_timestamp=now)
                )
        written += len(ids)
    return written


Item = TypeVar("Item")


def _in_chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while some := list(islice(rest, RUNS_PER_TRANSACTION)):
        yield some


def _write(connection: db.Connection, key: str, values: Mapping[str, str], statuses: Collection[str]) -> list[str]:
    """Write one tag, with a value for each run id, to runs in some statuses; returns the ids of those."""
    in_status = RunsTable.c.status.in_(statuses)
    stored = [
        (run_id, deserialize_value(body, DagsterRun), status)
        for run_id, body, status in connection.execute(
            db.select(RunsTable.c.run_id, RunsTable.c.run_body, RunsTable.c.status)
            .where(RunsTable.c.run_id.in_(list(values)), in_status)
            .order_by(RunsTable.c.id)  # every writer locks in the same order, so that no two wait for each other
            .with_for_update()
        ).all()
    ]
    if not stored:
        return []
    bodies = {
        run_id: serialize_value(run.with_tags({**run.tags, key: values[run_id]})) for run_id, run, _ in stored
    }
    connection.execute(
        RunsTable.update()
        .where(RunsTable.c.run_id.in_(list(bodies)), in_status)
        .values(run_body=db.case(bodies, value=RunsTable.c.run_id))
    )
    # A run about to be queued has its rows from its body; a queued one may have had any writer.
    with_rows = [
        run_id for run_id, run, status in stored if key in run.tags or status == DagsterRunStatus.QUEUED.value
    ]
    if with_rows:
        connection.execute(
            RunTagsTable.delete().where(RunTagsTable.c.run_id.in_(with_rows), RunTagsTable.c.key.concat("") == key)
        )
    connection.execute(
        RunTagsTable.insert(), [{"run_id": run_id, "key": key, "value": values[run_id]} for run_id in bodies]
    )
    return list(bodies)
