"""Writes the tag to a run, through one connection: with PostgreSQL connecting costs most of a submit."""

from collections.abc import Mapping

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    DagsterInstance,
    DagsterRun,
    RunsTable,
    RunTagsTable,
    deserialize_value,
    run_database,
    serialize_value,
)


def write_tags(instance: DagsterInstance, run: DagsterRun, tags: Mapping[str, str]) -> None:
    """Do what `DagsterInstance.add_run_tags` does, which opens two connections.

    A run carries its tags twice: in its body, which the daemon's limits look at, and in rows, which counts and
    filters look at. The body is written first: a run whose row is missing, because the process died in between,
    is found by the next tick, which writes both again. `add_run_tags` would never add that row.

    Args:
        instance: Whose run.
        run: The run; what is stored of it counts, so it is read anew.
        tags: What to write.

    Raises:
        sqlalchemy.exc.NoResultFound: The run was deleted.
    """
    with run_database(instance).connect() as connection:
        body = connection.execute(
            db.select(RunsTable.c.run_body).where(RunsTable.c.run_id == run.run_id)
        ).scalar_one()
        stored = deserialize_value(body, DagsterRun)
        connection.execute(
            RunsTable.update()
            .where(RunsTable.c.run_id == run.run_id)
            .values(run_body=serialize_value(stored.with_tags({**stored.tags, **tags})))
        )
        if overwritten := [key for key in tags if key in stored.tags]:
            connection.execute(
                RunTagsTable.delete().where(
                    RunTagsTable.c.run_id == run.run_id, RunTagsTable.c.key.in_(overwritten)
                )
            )
        connection.execute(
            RunTagsTable.insert(), [{"run_id": run.run_id, "key": key, "value": tags[key]} for key in tags]
        )
