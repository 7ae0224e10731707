"""Looks up queued runs by their ids, their backfill or their job, as a person names them."""

from collections.abc import Sequence

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    BACKFILL_ID_TAG,
    BulkActionsTable,
    DagsterInstance,
    DagsterRunStatus,
    RunsTable,
    RunTagsTable,
    run_database,
)
from clt_queued_run_coordinator.store.code_location import origins
from clt_queued_run_coordinator.store.rows import IS_QUEUED, in_chunks
from clt_queued_run_coordinator.text.refusal import RefusalError
from clt_queued_run_coordinator.text.similar_names import most_similar

SHORT_ID = 8
"""The number of characters of a run's id that Dagster's UI shows."""


def runs_by_id(instance: DagsterInstance, ids: Sequence[str]) -> list[str]:
    """The run ids of runs, at least one of which is queued.

    `ids` has each run's id, or at least its first 8 characters if no other queued run's id begins with them.

    Raises:
        RefusalError: There is no run with an id, several queued runs' ids begin with it, or no run is queued.
    """
    with run_database(instance).connect() as connection:
        status: dict[str, str] = {}
        for some in in_chunks(dict.fromkeys(ids)):
            query = db.select(RunsTable.c.run_id, RunsTable.c.status).where(RunsTable.c.run_id.in_(some))
            status.update((run_id, of_it) for run_id, of_it in connection.execute(query).all())
        for begin in dict.fromkeys(ids):
            if begin not in status:
                status[_queued_run(connection, begin)] = DagsterRunStatus.QUEUED.value
    if DagsterRunStatus.QUEUED.value not in status.values():
        run_id, of_it = next(iter(status.items()))
        what = f"Run {run_id} is {of_it}" if len(status) == 1 else f"None of the {len(status)} runs is queued"
        raise RefusalError(f"{what}; only a queued run has a place in the queue.")
    return list(status)


def _queued_run(connection: db.Connection, begin: str) -> str:
    found: Sequence[str] = []
    if len(begin) >= SHORT_ID:
        # PostgreSQL has no index for prefixes, so only the queued runs are searched.
        begins = db.func.substr(RunsTable.c.run_id, 1, len(begin)) == begin
        found = connection.execute(db.select(RunsTable.c.run_id).where(IS_QUEUED, begins).limit(2)).scalars().all()
    if len(found) > 1:
        raise RefusalError(f"The ids of several queued runs begin with {begin!r}; give the whole id.")
    if not found:
        raise RefusalError(f"There is no run {begin!r}; copy the id from the UI or from `dagster run list`.")
    return found[0]


def runs_of_backfill(instance: DagsterInstance, backfill: str) -> list[str]:
    """The run ids of the queued runs of a backfill.

    Raises:
        RefusalError: The backfill has no queued runs, or doesn't exist.
    """
    is_of_it = db.and_(RunTagsTable.c.key == BACKFILL_ID_TAG, RunTagsTable.c.value == backfill)
    queued = (
        db.select(RunsTable.c.run_id)
        .where(IS_QUEUED, RunsTable.c.run_id.in_(db.select(RunTagsTable.c.run_id).where(is_of_it)))
        .order_by(RunsTable.c.id)
    )
    with run_database(instance).connect() as connection:
        if run_ids := list(connection.execute(queued).scalars()):
            return run_ids
        known = [
            db.select(RunTagsTable.c.id).where(is_of_it).limit(1),
            db.select(BulkActionsTable.c.id).where(BulkActionsTable.c.key == backfill).limit(1),
        ]
        if any(connection.execute(query).scalar() is not None for query in known):
            raise RefusalError(f"The backfill {backfill!r} has no queued runs.")
    raise RefusalError(f"There is no backfill {backfill!r}; copy the id from the UI.")


def runs_of_job(instance: DagsterInstance, job: str, code_location: str | None = None) -> list[str]:
    """The run ids of the queued runs of a job in one code location, or in any.

    Raises:
        RefusalError: The job has no queued runs, or no run of it was ever made.
    """
    # Concatenating "" keeps SQLite from using its index on jobs, which would read the whole history.
    of_job = db.and_(IS_QUEUED, RunsTable.c.pipeline_name.concat("") == job)
    with run_database(instance).connect() as connection:
        query = db.select(RunsTable.c.id, RunsTable.c.run_id).where(of_job).order_by(RunsTable.c.id)
        run_ids = dict(connection.execute(query).tuples().all())
        if code_location is not None:
            found = origins(connection, run_ids)
            run_ids = {
                storage_id: run_ids[storage_id] for storage_id in run_ids if found.get(storage_id) == code_location
            }
        if run_ids:
            return list(run_ids.values())
        if connection.execute(db.select(RunsTable.c.id).where(RunsTable.c.pipeline_name == job).limit(1)).all():
            of = f" of the code location {code_location!r}" if code_location else ""
            raise RefusalError(f"The job {job!r}{of} has no queued runs.")
        queued = (
            connection.execute(db.select(RunsTable.c.pipeline_name).where(IS_QUEUED).distinct()).scalars().all()
        )
    similar = most_similar(job, filter(None, queued))
    meant = f"; did you mean {similar!r}?" if similar else "."
    raise RefusalError(f"No run was ever made of a job {job!r}{meant}")
