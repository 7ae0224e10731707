"""How many runs of each code location waited and ran in the last hours, from the run database."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import IN_PROGRESS_STATUSES, DagsterRunStatus, RunsTable
from clt_queued_run_coordinator.store.code_location import by_rows
from clt_queued_run_coordinator.store.database_clock import seconds
from clt_queued_run_coordinator.store.rows import IS_QUEUED

HOURS = 6
STEP_SECONDS = 300
STEPS = HOURS * 3600 // STEP_SECONDS

_IN_PROGRESS = [status.value for status in IN_PROGRESS_STATUSES]
_ENDED = [
    status.value for status in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
]


@dataclass(frozen=True)
class LastHours:
    """Two numbers of runs at the end of each `STEP_SECONDS` of the last hours, the oldest first.

    A run waits from its creation to its start, so that one that is being launched still waits.

    Attributes:
        until: The end of the last step, in UTC.
        waiting: By code location, as `running` is; a run of which that isn't known is in None.
    """

    until: datetime
    waiting: Mapping[str | None, tuple[int, ...]] = field(default_factory=dict)
    running: Mapping[str | None, tuple[int, ...]] = field(default_factory=dict)


def read(connection: db.Connection, now: datetime, queued: Mapping[int, str]) -> LastHours:
    """Read it by two statements: the queued runs, and those in progress or ended lately, each found by an index.

    `now` is the time by the database's clock, in UTC. `queued` has the code location of each queued run, by the
    storage's id: many of them would take long to look up. The connection is `reading`.
    """
    since = int(now.timestamp()) // STEP_SECONDS * STEP_SECONDS + STEP_SECONDS - STEPS * STEP_SECONDS
    waiting: dict[str | None, list[int]] = defaultdict(lambda: [0] * (STEPS + 1))
    running: dict[str | None, list[int]] = defaultdict(lambda: [0] * (STEPS + 1))

    def step(moment: int | None) -> int:
        """The step in which it is; the one after the last where it hasn't come."""
        return STEPS if moment is None else min(STEPS, max(0, (moment - since) // STEP_SECONDS))

    of_queued = connection.execute(_created(connection, since)).tuples().all()
    still = Counter((queued.get(storage_id), created) for storage_id, created in of_queued)
    others = connection.execute(_steps(connection, now, since)).tuples().all()
    waits = [(name, created, None, None, runs) for (name, created), runs in still.items()]
    for name, created, begun, ended, runs in (*others, *waits):
        for changes, first, last in ((waiting, step(created), step(begun)), (running, step(begun), step(ended))):
            changes[name][first] += runs
            changes[name][last] -= runs
    return LastHours(
        now, *({name: tuple(accumulate(of[:-1])) for name, of in both.items()} for both in (waiting, running))
    )


def _created(connection: db.Connection, since: int) -> db.Select[tuple[int, int]]:
    created = _step_of(seconds(connection, RunsTable.c.create_timestamp), since)
    return db.select(RunsTable.c.id, created).where(IS_QUEUED)


def _steps(
    connection: db.Connection, now: datetime, since: int
) -> db.Select[tuple[str | None, int, int | None, int | None, int]]:
    columns = RunsTable.c
    ended_lately = db.and_(
        columns.status.in_(_ENDED), columns.update_timestamp > now - timedelta(seconds=now.timestamp() - since)
    )
    runs = (
        db.select(
            by_rows().label("name"),
            _step_of(seconds(connection, columns.create_timestamp), since).label("created"),
            _step_of(db.func.coalesce(columns.start_time, columns.end_time), since).label("begun"),
            _step_of(columns.end_time, since).label("ended"),
        )
        .where(db.or_(columns.status.in_(_IN_PROGRESS), ended_lately))
        .subquery()
    )
    alike = (runs.c.name, runs.c.created, runs.c.begun, runs.c.ended)
    return db.select(*alike, db.func.count()).group_by(*alike)


def _step_of(moment: db.ColumnElement[Any], since: int) -> db.ColumnElement[int]:
    """The begin of the step in which a moment is, so that the runs of a step count together."""
    whole = db.cast(moment, db.BigInteger)
    return db.case((whole < since, since), else_=whole - whole % STEP_SECONDS)
