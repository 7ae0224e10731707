"""Writes tags to runs over a single connection: connecting to PostgreSQL is most of the cost of a submit."""

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
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY
from clt_queued_run_coordinator.store.transaction import transaction

RUNS_PER_TRANSACTION = 500
"""The most runs written in one transaction: few enough that nobody waits long for their row locks."""

_QUEUED = (DagsterRunStatus.QUEUED.value,)
_NOT_STARTED = (DagsterRunStatus.NOT_STARTED.value, *_QUEUED)


def write_tags(where: DagsterInstance | db.Connection, code_locations: Mapping[str, str]) -> None:
    """Tag runs that are queued or about to be with their code locations. Other runs are skipped.

    A run has its tags twice: in its body, which the daemon's limits look at, and in rows, which filters look at.
    Both are written in one transaction that first locks the run. So the second of two writers sees what the first
    has written; no unique key would prevent a duplicate row. `DagsterInstance.add_run_tags` takes two connections
    and no lock, and never adds a missing row.

    Runs in progress are left alone, because whoever handles their events may be overwriting the body.

    Args:
        where: The instance, or an open PostgreSQL connection to its run database.
        code_locations: The name of each run's code location, by run id.
    """
    for some in _in_chunks(code_locations.items()):
        with transaction(where) as connection:
            _write(connection, CLT_TAG_KEY, dict(some), _NOT_STARTED)


def write_priority(instance: DagsterInstance, run_ids: Iterable[str], priority: int) -> int:
    """Set Dagster's priority tag on queued runs. Runs that have left the queue are skipped.

    It locks the runs as `write_tags` does. So no tag of another writer is lost, and a run that the daemon dequeues
    at this moment either gets its priority first or isn't touched.

    Args:
        instance: The instance.
        run_ids: The ids of the runs.
        priority: The priority; higher ones go first.

    Returns:
        The number of runs that were changed.
    """
    written = 0
    for some in _in_chunks(run_ids):
        with transaction(instance) as connection:
            ids = _write(connection, PRIORITY_TAG, dict.fromkeys(some, str(priority)), _QUEUED)
            if ids:
                # Dagster does the same when it adds tags. It tells the daemon that the order has changed.
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
    """Write one tag to those of the runs that are in the given statuses; returns their ids.

    Args:
        connection: In a transaction.
        key: The tag's key.
        values: The tag's value, by run id.
        statuses: The statuses in which a run may be written.
    """
    in_status = RunsTable.c.status.in_(statuses)
    stored = [
        (run_id, deserialize_value(body, DagsterRun), status)
        for run_id, body, status in connection.execute(
            db.select(RunsTable.c.run_id, RunsTable.c.run_body, RunsTable.c.status)
            .where(RunsTable.c.run_id.in_(list(values)), in_status)
            .order_by(RunsTable.c.id)  # all writers lock in the same order, so that they can't deadlock
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
    # The rows of a run that isn't queued yet come from its body. A queued run may have been changed by anybody.
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
