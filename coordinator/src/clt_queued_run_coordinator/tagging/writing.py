"""Writes the tag to runs, through one connection: with PostgreSQL connecting costs most of a submit."""

from collections.abc import Mapping
from itertools import islice

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
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

RUNS_A_TRANSACTION = 500
"""How many runs are written at once: so few that nobody waits long for their locks."""

_NOT_STARTED = (DagsterRunStatus.NOT_STARTED.value, DagsterRunStatus.QUEUED.value)


def write_tags(instance: DagsterInstance, code_locations: Mapping[str, str]) -> None:
    """Tag runs that are queued, or about to be, with their code locations; others are passed over.

    A run carries its tags twice: in its body, which the daemon's limits look at, and in rows, which filters look
    at. Both are written in one transaction, which begins with locking the run, so that of two writers the second
    finds what the first has written: there is no unique key that would keep a row from being doubled.
    `DagsterInstance.add_run_tags` takes two connections and no lock, and never adds a row that is missing.

    Runs in progress are left alone, since whoever handles their events may overwrite the body just then.

    Args:
        instance: Whose runs.
        code_locations: The name of each run's code location, by run id.
    """
    rest = iter(code_locations.items())
    while some := dict(islice(rest, RUNS_A_TRANSACTION)):
        with transaction(instance) as connection:
            _write(connection, some)


def _write(connection: db.Connection, code_locations: Mapping[str, str]) -> None:
    stored = [
        (run_id, deserialize_value(body, DagsterRun), status)
        for run_id, body, status in connection.execute(
            db.select(RunsTable.c.run_id, RunsTable.c.run_body, RunsTable.c.status)
            .where(RunsTable.c.run_id.in_(list(code_locations)), RunsTable.c.status.in_(_NOT_STARTED))
            .order_by(RunsTable.c.id)  # every writer locks in the same order, so that no two wait for each other
            .with_for_update()
        ).all()
    ]
    if not stored:
        return
    bodies = [
        {
            "written_run": run_id,
            "body": serialize_value(run.with_tags({**run.tags, CLT_TAG_KEY: code_locations[run_id]})),
        }
        for run_id, run, _ in stored
    ]
    connection.execute(
        RunsTable.update()
        .where(RunsTable.c.run_id == db.bindparam("written_run"))
        .values(run_body=db.bindparam("body")),
        bodies,
    )
    # A run about to be queued has its rows from its body; a queued one may have had any writer.
    with_rows = [
        run_id
        for run_id, run, status in stored
        if CLT_TAG_KEY in run.tags or status == DagsterRunStatus.QUEUED.value
    ]
    if with_rows:
        connection.execute(
            RunTagsTable.delete().where(
                RunTagsTable.c.run_id.in_(with_rows), RunTagsTable.c.key.concat("") == CLT_TAG_KEY
            )
        )
    connection.execute(
        RunTagsTable.insert(),
        [{"run_id": run_id, "key": CLT_TAG_KEY, "value": code_locations[run_id]} for run_id, _, _ in stored],
    )
