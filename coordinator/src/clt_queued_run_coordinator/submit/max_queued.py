"""Refuses runs that would make the queue of their code location longer than `max_queued`.

The cheapest question comes first: are few runs queued at all? The next one is what the daemon counted at its last
tick, and what was queued since. Only if neither shows room are the runs of the code location counted one by one.
Only that exact count refuses a run.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    REPOSITORY_LABEL_TAG,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunsTable,
    RunTagsTable,
    deserialize_value,
)
from clt_queued_run_coordinator.daemon.queued_runs import CLOCK_TOLERANCE
from clt_queued_run_coordinator.store.code_location import code_location_of
from clt_queued_run_coordinator.submit import published_counts
from clt_queued_run_coordinator.submit.refused import count_refused
from clt_queued_run_coordinator.submit.submit_lock import SubmitLock

CHEAP_COUNT_LIMIT = 2_000
"""How far a submit counts the queued runs of all code locations, to see cheaply that there are few."""

_MOST = 2**31
"""A LIMIT that every database accepts and that is larger than any queue."""


class QueueFullError(Exception):
    """The run is refused, because its code location has `max_queued` runs queued already."""

    def __init__(self, run_id: str, code_location: str, max_queued: int) -> None:
        super().__init__(
            f"Run {run_id} is refused: max_queued of code location {code_location!r} is {max_queued}, and that"
            " many of its runs are queued. Launch it again when fewer are, cancel queued runs, or raise max_queued"
            " in code_location_limits.locations or .default."
        )


class QueueLimiter:
    """Enforces `max_queued` on one instance.

    Args:
        log: Receives a warning for each refusal.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._lock = SubmitLock()

    @contextmanager
    def reserved_room(
        self,
        instance: DagsterInstance,
        run_id: str,
        code_location: str,
        max_queued: int,
        tags: Mapping[str, str],
    ) -> Iterator[None]:
        """Reserve room in the queue for a run, which the body of the `with` statement then queues.

        Args:
            instance: The instance.
            run_id: The run's id.
            code_location: The code location it comes from.
            max_queued: The most runs of it that may be queued.
            tags: Tags to write in any case; see `write_tags`.

        Raises:
            QueueFullError: The queue is full. The refusal is counted and logged.
            SubmitLockError: Other submits held the lock for too long.
        """

        def has_room(connection: db.Connection, others: int) -> bool:
            number = max_queued - others
            return is_known_to_have_fewer_queued(connection, code_location, number) or (
                not others and has_fewer_queued(connection, code_location, number)
            )

        with self._lock.held(instance, code_location, tags, has_room) as has_slot:
            if has_slot:
                yield
                return
        full = QueueFullError(run_id, code_location, max_queued)
        self._log.warning("%s", full)
        try:
            count_refused(instance, code_location)
        except db.exc.SQLAlchemyError as error:
            self._log.warning("The refusal of run %s could not be counted for the metrics: %s", run_id, error)
        raise full


def is_known_to_have_fewer_queued(connection: db.Connection, code_location: str, number: int) -> bool:
    """Whether cheap counts already show that fewer than `number` runs of a code location are queued.

    Args:
        connection: To the instance's run database.
        code_location: The code location's name.
        number: The number to stay below.
    """
    if number <= 0:
        return False
    most = min(number, _MOST)
    some = min(most, CHEAP_COUNT_LIMIT)
    queued = db.select(db.literal(1)).select_from(RunsTable).where(_IS_QUEUED).limit(some).subquery()
    if (connection.execute(db.select(db.func.count()).select_from(queued)).scalar() or 0) < some:
        return True
    counted = published_counts.read(connection)
    if counted:
        left = most - counted.queued.get(code_location, 0)
        return left > 0 and has_fewer_queued(connection, code_location, left, counted.newest - CLOCK_TOLERANCE)
    return False


_IS_QUEUED = RunsTable.c.status == DagsterRunStatus.QUEUED.value


def has_fewer_queued(
    connection: db.Connection, code_location: str, number: int, since: datetime | None = None
) -> bool:
    """Whether fewer than `number` runs of a code location are queued, by counting its queued runs.

    Args:
        connection: To the instance's run database.
        code_location: The code location's name.
        number: The number to stay below.
        since: Count only runs that changed after this time, as the database has it.
    """
    if number <= 0:
        return False
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql:
        # By default PostgreSQL assumes that index lookups hit the disk, and would rather read all the tags.
        connection.exec_driver_sql("SET LOCAL random_page_cost = 1.1")
    query = _queued_of(code_location, since, db.func.strpos if is_postgresql else db.func.instr)
    for limit in (number, None):  # runs without a label, or with a duplicate one, may have used up the first limit
        rows = connection.execute(query.limit(limit and min(limit, _MOST))).all()
        runs = {run_id for run_id, body in rows if body is None or _is_of(body, code_location)}
        if len(runs) >= number:
            return False
        if len(rows) < number:
            return True
    return True


def _is_of(body: str, code_location: str) -> bool:
    return code_location_of(deserialize_value(body, DagsterRun)) == code_location


def _queued_of(
    code_location: str, since: datetime | None, position: Callable[..., db.ColumnElement[int]]
) -> db.Select[tuple[int, str | None]]:
    """The queued runs of a code location by their label, and those without a label with their bodies."""
    label = RunTagsTable.alias("label")
    # Concatenating "" keeps SQLite from using its index on the keys, which would read the whole history.
    has_key = label.c.key.concat("") == REPOSITORY_LABEL_TAG
    # LIKE would match x@y for y and, on SQLite, Y for y.
    labelled = db.func.substr(label.c.value, position(label.c.value, "@") + 1)
    return (
        db.select(RunsTable.c.id, db.case((label.c.value.is_(None), RunsTable.c.run_body), else_=None))
        .select_from(RunsTable.outerjoin(label, db.and_(label.c.run_id == RunsTable.c.run_id, has_key)))
        .where(
            _IS_QUEUED,
            db.or_(label.c.value.is_(None), labelled == code_location),
            *([] if since is None else [RunsTable.c.update_timestamp > since]),
        )
    )
