"""Lets few submits at a time look at the queue of a code location and queue their run.

A submit looks how many runs are queued and queues its own a moment later. Where `TOGETHER` submits do so at a
time, the queue can grow by so many behind the look of each: while there is room for that they pass together, and
else one by one. On PostgreSQL each passes with one of so many advisory locks, or with all of them. These last for
a transaction: they end with the connection too, and PgBouncer may pool transactions. On SQLite, which has one
writer at a time anyway, all pass one by one, with a lock file beside the database.
"""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

import sqlalchemy as db
from filelock import FileLock, Timeout

from clt_queued_run_coordinator._dagster import DagsterInstance, run_database
from clt_queued_run_coordinator.tagging.writing import write_tags
from clt_queued_run_coordinator.transaction import transaction

TOGETHER = 8
"""How many submits of a code location pass at a time where there is room, and how many connections of a process
wait for it at most."""

PATIENCE_SECONDS = 60
"""How long a submit waits for those before it, until it fails."""

_POLL_SECONDS = 0.01
"""How often SQLite's lock file is tried."""

_LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's code for a lock that was waited for too long."""

Look = Callable[[db.Connection, int], bool]
"""Looks whether there is room for a run, beside so many others that may be queued in the same moment."""


class SubmitLockError(Exception):
    """The submits before this one did not get ready in time."""

    def __init__(self, code_location: str) -> None:
        super().__init__(
            f"The run of code location {code_location!r} can't be queued: max_queued limits how many are, and"
            f" other submits have held the count for {PATIENCE_SECONDS} s. Submit it again; if this lasts,"
            " look for a process that hangs amid a submit."
        )


class SubmitLock:
    """The locks of one instance."""

    def __init__(self) -> None:
        self._in_this_process: dict[str, threading.Semaphore] = {}

    @contextmanager
    def held(
        self, instance: DagsterInstance, code_location: str, tags: Mapping[str, str], look: Look
    ) -> Iterator[bool]:
        """Keep others from queueing runs of a code location on the strength of the same room.

        Args:
            instance: Whose queue.
            code_location: Its name.
            tags: To be written before, see `write_tags`; on PostgreSQL through the same connection, since to
                connect costs more than all the rest.
            look: Called while they are kept out.

        Yields:
            Whether there is room.

        Raises:
            SubmitLockError: Others have kept this one out for too long.
        """
        with self._place_in_this_process(code_location):
            among_processes = ExitStack()
            try:
                connection = among_processes.enter_context(run_database(instance).connect())
                write_tags(connection if connection.dialect.name == "postgresql" else instance, tags)
                passing = _PASSING[connection.dialect.name](connection, code_location, look)
                yield among_processes.enter_context(passing)
            finally:
                # What was queued is queued, even if the connection has been lost meanwhile, and the lock with it.
                with suppress(db.exc.SQLAlchemyError):
                    among_processes.close()

    @contextmanager
    def _place_in_this_process(self, code_location: str) -> Iterator[None]:
        """Wait here before there is a connection."""
        places = self._in_this_process.setdefault(code_location, threading.Semaphore(TOGETHER))
        if not places.acquire(timeout=PATIENCE_SECONDS):
            raise SubmitLockError(code_location)
        try:
            yield
        finally:
            places.release()


@contextmanager
def _on_postgresql(connection: db.Connection, code_location: str, look: Look) -> Iterator[bool]:
    with transaction(connection):
        _take_one(connection, code_location)
        if look(connection, TOGETHER - 1):
            yield True
            return
    with transaction(connection):
        _take_all(connection, code_location)
        yield look(connection, 0)


_SETTINGS = f"SET LOCAL lock_timeout = '{PATIENCE_SECONDS}s'; SET LOCAL idle_in_transaction_session_timeout = 0"
"""Of the transaction; sent with its first statement, to save a round trip."""


def _take_one(connection: db.Connection, code_location: str) -> None:
    """Take the first lock that is free, or wait for any one."""
    numbers = _numbers(code_location)
    random.shuffle(numbers)
    free = f"SELECT number FROM unnest(ARRAY{numbers}) AS number WHERE pg_try_advisory_xact_lock(number) LIMIT 1"  # noqa: S608 - numbers of our own
    if connection.exec_driver_sql(f"{_SETTINGS}; {free}").scalar() is None:
        _wait(connection, code_location, numbers[:1])


def _take_all(connection: db.Connection, code_location: str) -> None:
    """Take every lock, each submit in the same order."""
    connection.exec_driver_sql(_SETTINGS)
    _wait(connection, code_location, _numbers(code_location))


def _wait(connection: db.Connection, code_location: str, numbers: list[int]) -> None:
    try:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock(number) FROM unnest(ARRAY{numbers}) AS number")  # noqa: S608 - the same
    except db.exc.OperationalError as error:
        if getattr(error.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE:
            raise SubmitLockError(code_location) from error
        raise


def _numbers(code_location: str) -> list[int]:
    """The numbers of a code location's advisory locks."""
    return [
        int.from_bytes(
            hashlib.blake2b(
                f"clt_queued_run_coordinator/{place}/{code_location}".encode(), digest_size=8
            ).digest(),
            "big",
            signed=True,
        )
        for place in range(TOGETHER)
    ]


@contextmanager
def _on_sqlite(connection: db.Connection, code_location: str, look: Look) -> Iterator[bool]:
    database = connection.engine.url.database or ""
    with ExitStack() as lock:
        if not _ON_SQLITE.acquire(timeout=PATIENCE_SECONDS):
            raise SubmitLockError(code_location)
        lock.callback(_ON_SQLITE.release)
        if not database.startswith("file:"):  # else it is in the memory of this process
            try:
                lock.enter_context(FileLock(f"{database}.submit.lock").acquire(PATIENCE_SECONDS, _POLL_SECONDS))
            except Timeout as error:
                raise SubmitLockError(code_location) from error
        yield look(connection, 0)


_ON_SQLITE = threading.Lock()
"""Among the threads of this process, which would poll for the file."""

_PASSING = {"postgresql": _on_postgresql, "sqlite": _on_sqlite}
