"""A run from the run storage, found by its id, and what became of it."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunsTable,
    run_database,
)
from clt_queued_run_coordinator.operate.daemon_seen import utc_time
from clt_queued_run_coordinator.store.database_clock import in_utc, utc
from clt_queued_run_coordinator.store.rows import run_of
from clt_queued_run_coordinator.text.formats import duration

_ENDED = {
    DagsterRunStatus.SUCCESS: "has succeeded",
    DagsterRunStatus.FAILURE: "has failed",
    DagsterRunStatus.CANCELED: "was canceled",
}


@dataclass(frozen=True)
class StoredRun:
    """A run from the run storage; its body may be older than the rest. All times are in UTC.

    Attributes:
        storage_id: Its number in the storage.
        run: The run; None if its body can't be read.
    """

    storage_id: int
    run_id: str
    status: DagsterRunStatus
    run: DagsterRun | None
    created: datetime
    started: datetime | None
    ended: datetime | None


def find_runs(instance: DagsterInstance, run_id: str) -> list[StoredRun]:
    """The run with this id or, if there is none, up to three runs whose ids begin with it."""
    columns = RunsTable.c
    # The range lets the database use its index with any collation; the prefix then drops the few others in it.
    between = db.and_(columns.run_id >= run_id, columns.run_id <= run_id + "z" * 36)
    beginning = columns.run_id.startswith(run_id, autoescape=True)
    with run_database(instance).connect() as connection:
        runs = db.select(
            *(columns.id, columns.run_id, columns.status, columns.run_body),
            *(in_utc(connection, columns.create_timestamp), columns.start_time, columns.end_time),
        )
        rows = connection.execute(runs.where(columns.run_id == run_id)).all()
        if not rows and run_id:
            several = runs.where(between, beginning).order_by(columns.run_id).limit(3)
            rows = connection.execute(several).all()
    return [
        StoredRun(
            *(storage_id, found, DagsterRunStatus(status), run_of(body)),
            *(utc(created), utc_time(started), utc_time(ended)),
        )
        for storage_id, found, status, body, created, started, ended in rows
    ]


def describe_unqueued(stored: StoredRun, now: datetime) -> str:
    """What became of a run that isn't queued, in one line."""

    def when(word: str, moment: datetime | None, ago: str = "") -> str:
        if moment is None:
            return ""
        return f"{word} {moment:%Y-%m-%d %H:%M:%S} UTC, {duration((now - moment).total_seconds())}{ago}"

    status = stored.status
    if status in _ENDED:
        what = f"{_ENDED[status]}{when(' at', stored.ended, ' ago')}"
    elif status in (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.MANAGED):
        what = "was created but never submitted"
    else:
        what = f"is in progress ({status.value}){when(' since', stored.started)}"
    return f"Run {stored.run_id} is not queued: it {what}"
