"""Refuses runs that would make the queue of their code location longer than `max_queued`.

The cheapest question comes first: are fewer runs queued at all? Otherwise the queued runs of the code location are
counted, exactly. That takes longer the more runs the others have queued, and longest at a process's first submit.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, RunsTable
from clt_queued_run_coordinator.store.code_location import origins
from clt_queued_run_coordinator.store.rows import IS_QUEUED
from clt_queued_run_coordinator.submit.refused import count_refused
from clt_queued_run_coordinator.submit.submit_lock import SubmitLock, Tag


class QueueFullError(Exception):
    """The run is refused, because its code location has `max_queued` runs queued already."""

    def __init__(self, run_id: str, code_location: str, max_queued: int) -> None:
        super().__init__(
            f"Run {run_id} is refused: max_queued of code location {code_location!r} is {max_queued}, and that"
            " many of its runs are queued. Launch it again when fewer are, cancel queued runs, or raise max_queued"
            " in code_location_limits.locations or .default."
        )


class QueueLimiter:
    """Enforces `max_queued` on one instance, and warns of each refusal."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._lock = SubmitLock()
        self._counter = QueueCounter()

    @contextmanager
    def reserved_room(
        self,
        instance: DagsterInstance,
        run_id: str,
        code_location: str,
        max_queued: int,
        tag: Tag,
    ) -> Iterator[None]:
        """Reserve room in the queue for a run, which the body of the `with` statement then queues.

        It is tagged in any case.

        Raises:
            QueueFullError: The queue is full. The refusal is counted and logged.
            SubmitLockError: Other submits held the lock for too long.
        """
        with self._lock.held(instance, code_location, tag) as connection:
            if self._counter.has_fewer(connection, code_location, max_queued):
                yield
                return
            try:
                count_refused(instance, code_location)
            except db.exc.SQLAlchemyError as error:
                self._log.warning("The refusal of run %s could not be counted for the metrics: %s", run_id, error)
        full = QueueFullError(run_id, code_location, max_queued)
        self._log.warning("%s", full)
        raise full


class QueueCounter:
    """Counts the queued runs of a code location, exactly.

    A run's origin never changes. So what was found out about a queued run is remembered, and the next submit in
    this process looks up only those that are new.
    """

    def __init__(self) -> None:
        self._origins: Mapping[int, str | None] = {}

    def has_fewer(self, connection: db.Connection, code_location: str, number: int) -> bool:
        """Whether fewer than `number` runs of a code location are queued, in a transaction that looks up tags."""
        some = db.select(RunsTable.c.id).where(IS_QUEUED).limit(number).subquery()
        if (connection.execute(db.select(db.func.count()).select_from(some)).scalar() or 0) < number:
            return True
        queued = connection.execute(db.select(RunsTable.c.id).where(IS_QUEUED)).scalars().all()
        # SQLite gives the id of a deleted run to the next one.
        known = self._origins if connection.dialect.name == "postgresql" else {}
        unknown = [storage_id for storage_id in queued if storage_id not in known]
        if unknown:
            known = {**known, **origins(connection, unknown)}
        self._origins = known if len(known) <= 2 * len(queued) else {of: known.get(of) for of in queued}
        return sum(known.get(storage_id) == code_location for storage_id in queued) < number
