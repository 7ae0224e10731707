"""Refuses runs that would make the queue of their code location longer than `max_queued`.

The cheapest question comes first: are fewer runs queued at all? Otherwise the queued runs of the code location are
counted, exactly. That takes longer the more runs the others have queued.
"""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, RunsTable
from clt_queued_run_coordinator.store.code_location import by_bodies, by_rows
from clt_queued_run_coordinator.store.rows import IS_QUEUED
from clt_queued_run_coordinator.submit.refused import count_refused
from clt_queued_run_coordinator.submit.submit_lock import SubmitLock


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
        untagged: Collection[str],
    ) -> Iterator[None]:
        """Reserve room in the queue for a run, which the body of the `with` statement then queues.

        Args:
            instance: The instance.
            run_id: The run's id.
            code_location: The code location it comes from.
            max_queued: The most runs of it that may be queued.
            untagged: The ids of runs to tag in any case; see `write_tags`.

        Raises:
            QueueFullError: The queue is full. The refusal is counted and logged.
            SubmitLockError: Other submits held the lock for too long.
        """
        with self._lock.held(instance, code_location, untagged) as connection:
            if has_fewer_queued(connection, code_location, max_queued):
                yield
                return
            try:
                count_refused(instance, code_location)
            except db.exc.SQLAlchemyError as error:
                self._log.warning("The refusal of run %s could not be counted for the metrics: %s", run_id, error)
        full = QueueFullError(run_id, code_location, max_queued)
        self._log.warning("%s", full)
        raise full


def has_fewer_queued(connection: db.Connection, code_location: str, number: int) -> bool:
    """Whether fewer than `number` runs of a code location are queued.

    Args:
        connection: To the instance's run database.
        code_location: The code location's name.
        number: The number to stay below.
    """
    some = db.select(RunsTable.c.id).where(IS_QUEUED).limit(number).subquery()
    if (connection.execute(db.select(db.func.count()).select_from(some)).scalar() or 0) < number:
        return True
    name = by_rows()
    query = db.select(RunsTable.c.id, name.is_(None)).where(
        IS_QUEUED, db.func.coalesce(name, code_location) == code_location
    )
    # Runs of others that only their bodies tell apart may use up the limit.
    for rows in (connection.execute(asked).all() for asked in (query.limit(number), query)):
        doubtful = by_bodies(connection, (storage_id for storage_id, is_doubtful in rows if is_doubtful))
        others = sum(name != code_location for _, name in doubtful)
        if len(rows) - others >= number:
            return False
        if len(rows) < number:
            break
    return True
