"""Bounds how many submits count the queue of a code location and queue their run at the same time.

A submit counts the queued runs and queues its own a moment later. While `CONCURRENT_SUBMITS` submits do so at
once, the queue can grow by that many after each count. As long as there is room for all of them they pass
together; otherwise they pass one by one.

On PostgreSQL a submit holds one of `CONCURRENT_SUBMITS` advisory locks to pass together with others, and all of
them to pass alone. The locks belong to a transaction, so they end with the connection and work behind PgBouncer
in transaction mode. On SQLite, which has one writer at a time anyway, all submits pass one by one, with a lock
file beside the database.
"""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

import sqlalchemy as db
from filelock import FileLock, Timeout

from clt_queued_run_coordinator._dagster import DagsterInstance, run_database
from clt_queued_run_coordinator.store.tag_writing import write_tags
from clt_queued_run_coordinator.store.transaction import transaction

CONCURRENT_SUBMITS = 8
"""The number of submits of a code location that pass together while there is room. It is also the most connections
with which a process waits for one code location."""

LOCK_TIMEOUT_SECONDS = 60
"""How long a submit waits for the ones before it. After that it fails."""

_POLL_SECONDS = 0.01
"""The interval between two attempts to take SQLite's lock file."""

_LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's error code for a lock timeout."""

HasRoom = Callable[[db.Connection, int], bool]
"""Whether there is room for a run, beside a number of other runs that may be queued at the same moment."""


class SubmitLockError(Exception):
    """The submits before this one did not finish in time."""

    def __init__(self, code_location: str) -> None:
        super().__init__(
            f"The run of code location {code_location!r} can't be queued: it has a max_queued, and other submits"
            f" have held its lock for {LOCK_TIMEOUT_SECONDS} s. Submit the run again; if this persists, look for a"
            " process that hangs in the middle of a submit."
        )


class SubmitLock:
    """The locks of one instance."""

    def __init__(self) -> None:
        self._in_this_process: dict[str, threading.Semaphore] = {}

    @contextmanager
    def held(
        self, instance: DagsterInstance, code_location: str, tags: Mapping[str, str], has_room: HasRoom
    ) -> Iterator[bool]:
        """Keep other submits from queueing runs of a code location into the same room.

        Args:
            instance: The instance.
            code_location: The code location's name.
            tags: Tags to write first; see `write_tags`. On PostgreSQL they go through the same connection, because
                connecting costs more than everything else.
            has_room: Called while other submits are kept out.

        Yields:
            Whether there is room.

        Raises:
            SubmitLockError: Other submits held the lock for too long.
        """
        with self._place_in_this_process(code_location):
            among_processes = ExitStack()
            try:
                connection = among_processes.enter_context(run_database(instance).connect())
                write_tags(connection if connection.dialect.name == "postgresql" else instance, tags)
                passing = _PASSING[connection.dialect.name](connection, code_location, has_room)
                yield among_processes.enter_context(passing)
            finally:
                # The run is queued by now, even if the connection was lost meanwhile and the lock with it.
                with suppress(db.exc.SQLAlchemyError):
                    among_processes.close()

    @contextmanager
    def _place_in_this_process(self, code_location: str) -> Iterator[None]:
        """Wait before opening a connection."""
        places = self._in_this_process.setdefault(code_location, threading.Semaphore(CONCURRENT_SUBMITS))
        if not places.acquire(timeout=LOCK_TIMEOUT_SECONDS):
            raise SubmitLockError(code_location)
        try:
            yield
        finally:
            places.release()


@contextmanager
def _on_postgresql(connection: db.Connection, code_location: str, has_room: HasRoom) -> Iterator[bool]:
    with transaction(connection):
        _take_one(connection, code_location)
        if has_room(connection, CONCURRENT_SUBMITS - 1):
            yield True
            return
    with transaction(connection):
        _take_all(connection, code_location)
        yield has_room(connection, 0)


def _settings() -> str:
    """Settings of the transaction; sent with its first statement, to save a round trip."""
    return f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'; SET LOCAL idle_in_transaction_session_timeout = 0"


def _take_one(connection: db.Connection, code_location: str) -> None:
    """Take the first free lock, or wait for a random one."""
    numbers = _numbers(code_location)
    random.shuffle(numbers)
    free = f"SELECT number FROM unnest(ARRAY{numbers}) AS number WHERE pg_try_advisory_xact_lock(number) LIMIT 1"  # noqa: S608 - numbers of our own
    if connection.exec_driver_sql(f"{_settings()}; {free}").scalar() is None:
        _wait(connection, code_location, numbers[:1])


def _take_all(connection: db.Connection, code_location: str) -> None:
    """Take all locks, in the same order in every submit."""
    connection.exec_driver_sql(_settings())
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
        for place in range(CONCURRENT_SUBMITS)
    ]


@contextmanager
def _on_sqlite(connection: db.Connection, code_location: str, has_room: HasRoom) -> Iterator[bool]:
    database = connection.engine.url.database or ""
    with ExitStack() as lock:
        if not _ON_SQLITE.acquire(timeout=LOCK_TIMEOUT_SECONDS):
            raise SubmitLockError(code_location)
        lock.callback(_ON_SQLITE.release)
        if not database.startswith("file:"):  # else it is in the memory of this process
            try:
                lock.enter_context(
                    FileLock(f"{database}.submit.lock").acquire(LOCK_TIMEOUT_SECONDS, _POLL_SECONDS)
                )
            except Timeout as error:
                raise SubmitLockError(code_location) from error
        yield has_room(connection, 0)


_ON_SQLITE = threading.Lock()
"""Orders the threads of this process, so that they don't all poll for the file."""

_PASSING = {"postgresql": _on_postgresql, "sqlite": _on_sqlite}
