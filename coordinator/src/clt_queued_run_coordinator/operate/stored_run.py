"""A run from the run storage, found by its id, and what became of it."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunsTable,
    deserialize_value,
    run_database,
)
from clt_queued_run_coordinator.operate.daemon_seen import utc_time
from clt_queued_run_coordinator.store.database_clock import in_utc, utc
from clt_queued_run_coordinator.text.formats import duration

_ENDED = {
    DagsterRunStatus.SUCCESS: "has succeeded",
    DagsterRunStatus.FAILURE: "has failed",
    DagsterRunStatus.CANCELED: "was canceled",
}


@dataclass(frozen=True)
class StoredRun:
    """A run from the run storage.

    Attributes:
        storage_id: Its number in the storage.
        run_id: Its id.
        status: Its current status.
        run: The run; None if its body can't be read.
        created: When it was created, in UTC.
        started: When it started, in UTC; None if it hasn't.
        ended: When it ended, in UTC; None if it hasn't.
    """

    storage_id: int
    run_id: str
    status: DagsterRunStatus
    run: DagsterRun | None
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None


def find_runs(instance: DagsterInstance, run_id: str) -> list[StoredRun]:
    """The run with this id or, if there is none, up to three runs whose ids begin with it.

    Args:
        instance: The instance.
        run_id: The id, or its first characters.
    """
    columns = (
        *(RunsTable.c.id, RunsTable.c.run_id, RunsTable.c.run_body, RunsTable.c.status),
        *(in_utc(RunsTable.c.create_timestamp), RunsTable.c.start_time, RunsTable.c.end_time),
    )
    the_one = db.select(*columns).where(RunsTable.c.run_id == run_id)
    # The range lets the database use its index with any collation; the prefix then drops the few others in it.
    between = db.and_(RunsTable.c.run_id >= run_id, RunsTable.c.run_id <= run_id + "z" * 36)
    beginning = RunsTable.c.run_id.startswith(run_id, autoescape=True)
    several = db.select(*columns).where(between, beginning).order_by(RunsTable.c.run_id).limit(3)
    with run_database(instance).connect() as connection:
        rows = connection.execute(the_one).all() or (connection.execute(several).all() if run_id else [])
    return [
        StoredRun(
            storage_id=storage_id,
            run_id=found,
            status=DagsterRunStatus(status),
            run=_run(body, DagsterRunStatus(status)),
            created=utc(created),
            started=utc_time(started),
            ended=utc_time(ended),
        )
        for storage_id, found, body, status, created, started, ended in rows
    ]


def _run(body: str, status: DagsterRunStatus) -> DagsterRun | None:
    try:
        return deserialize_value(body, DagsterRun).with_status(status)
    except Exception:  # noqa: BLE001 - whatever a foreign body makes Dagster raise
        return None


def describe_unqueued(stored: StoredRun, now: datetime) -> str:
    """What became of a run that isn't queued, in one line."""
    status = stored.status
    if status in _ENDED:
        return f"Run {stored.run_id} is not queued: it {_ENDED[status]}{_when(' at', stored.ended, now, ' ago')}"
    if status in (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.MANAGED):
        return f"Run {stored.run_id} is not queued: it was created but never submitted"
    in_progress = f"it is in progress ({status.value}){_when(' since', stored.started, now)}"
    return f"Run {stored.run_id} is not queued: {in_progress}"


def _when(word: str, moment: datetime | None, now: datetime, ago: str = "") -> str:
    if moment is None:
        return ""
    return f"{word} {moment:%Y-%m-%d %H:%M:%S} UTC, {duration((now - moment).total_seconds())}{ago}"
