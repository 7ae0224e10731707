"""Refuses runs that would make the queue of their code location longer than `max_queued`.

What is asked first is what costs least: whether few runs are queued at all, then what the daemon counted at its
last tick and what was queued since. Only where neither shows that there is room are the runs of the code
location counted one by one, and only that count refuses a run.
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
from clt_queued_run_coordinator.queue.queued_runs import CLOCK_TOLERANCE
from clt_queued_run_coordinator.submit import published_counts
from clt_queued_run_coordinator.submit.refused import count_refused
from clt_queued_run_coordinator.submit.submit_lock import SubmitLock
from clt_queued_run_coordinator.tagging.code_location_tag import code_location_of

COUNTED_AT_MOST = 2_000
"""Up to how many queued runs of all code locations are counted at a submit, to see that there are fewer."""

_MOST = 2**31
"""As many rows as a LIMIT takes anywhere, and more than any queue has."""


class QueueFullError(Exception):
    """A code location has as many runs queued as it may, so that a run of it is refused."""

    def __init__(self, run_id: str, code_location: str, max_queued: int) -> None:
        super().__init__(
            f"Run {run_id} is refused: max_queued of code location {code_location!r} is {max_queued}, and so many"
            " of its runs are queued. Launch it again when fewer are, cancel queued runs, or raise max_queued in"
            " code_location_limits.locations or .default."
        )


class QueueRoom:
    """The room in the queues of one instance.

    Args:
        log: Where refusals are told.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._lock = SubmitLock()

    @contextmanager
    def taken(
        self,
        instance: DagsterInstance,
        run_id: str,
        code_location: str,
        max_queued: int,
        tags: Mapping[str, str],
    ) -> Iterator[None]:
        """Within this, a run of a code location may be queued.

        Args:
            instance: Whose queue.
            run_id: The run's id.
            code_location: Where it comes from.
            max_queued: The most queued runs.
            tags: To be written in any case, see `write_tags`.

        Raises:
            QueueFullError: The queue is full; the refusal is counted and told.
            SubmitLockError: Others have kept the queue for too long.
        """

        def look(connection: db.Connection, others: int) -> bool:
            number = max_queued - others
            return are_surely_fewer(connection, code_location, number) or (
                not others and are_fewer(connection, code_location, number)
            )

        with self._lock.held(instance, code_location, tags, look) as has_room:
            if has_room:
                yield
                return
        full = QueueFullError(run_id, code_location, max_queued)
        self._log.warning("%s", full)
        try:
            count_refused(instance, code_location)
        except db.exc.SQLAlchemyError as error:
            self._log.warning("The refusal of run %s could not be counted: %s", run_id, error)
        raise full


def are_surely_fewer(connection: db.Connection, code_location: str, number: int) -> bool:
    """Whether it is easily seen that fewer runs of a code location are queued than a number says.

    Args:
        connection: To the instance's run database.
        code_location: Its name.
        number: The number.
    """
    if number <= 0:
        return False
    most = min(number, _MOST)
    some = min(most, COUNTED_AT_MOST)
    queued = db.select(db.literal(1)).select_from(RunsTable).where(_IS_QUEUED).limit(some).subquery()
    if (connection.execute(db.select(db.func.count()).select_from(queued)).scalar() or 0) < some:
        return True
    counted = published_counts.read(connection)
    if counted:
        left = most - counted.queued.get(code_location, 0)
        return left > 0 and are_fewer(connection, code_location, left, counted.newest - CLOCK_TOLERANCE)
    return False


_IS_QUEUED = RunsTable.c.status == DagsterRunStatus.QUEUED.value


def are_fewer(connection: db.Connection, code_location: str, number: int, since: datetime | None = None) -> bool:
    """Whether fewer runs of a code location are queued than a number says, by looking at its queued runs.

    Args:
        connection: To the instance's run database.
        code_location: Its name.
        number: The number.
        since: Count only the runs that were changed since then, as the database has it.
    """
    if number <= 0:
        return False
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql:
        # It takes a look into an index for as slow as a disk's, and would rather read all the tags there are.
        connection.exec_driver_sql("SET LOCAL random_page_cost = 1.1")
    query = _queued_of(code_location, since, db.func.strpos if is_postgresql else db.func.instr)
    for limit in (number, None):  # runs without a label, or with doubled ones, may have used up the first
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
    """The number of each queued run that is labelled with a code location, or has no label, and then its body."""
    label = RunTagsTable.alias("label")
    # The key is joined to nothing for SQLite, which would take its index on the keys, and read all of the history.
    has_key = label.c.key.concat("") == REPOSITORY_LABEL_TAG
    # LIKE would take x@y for y, and on SQLite Y for y.
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
