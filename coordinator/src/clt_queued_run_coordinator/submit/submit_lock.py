"""Lets the submits of a code location count its queue and queue their run one by one.

On PostgreSQL a submit holds an advisory lock of its code location. It belongs to a transaction, so it ends with
the connection and works behind PgBouncer in transaction mode. On SQLite, which has one writer at a time anyway, it
is a lock file beside the database.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import sqlalchemy as db
from filelock import FileLock, Timeout

from clt_queued_run_coordinator._dagster import DagsterInstance, run_database
from clt_queued_run_coordinator.store.transaction import LOOKS_UP, transaction

HUNG_SECONDS = 15
"""How long a submit waits while no other one of its process gets the lock. After that it fails."""

LOCK_TIMEOUT_SECONDS = 60
"""How long it waits in all where they do, as with a slow database."""

SUBMITS_AT_ONCE = 8
"""The most code locations for which one process submits at once. Each submit holds a connection while its run is
queued over another one. Dagster's webserver has 21 in all: if submits held all of them, none could go on."""

_AT_ONCE = threading.Semaphore(SUBMITS_AT_ONCE)
"""One for the process: Dagster may make several coordinators when the first runs are submitted all at once."""

_POLL_SECONDS = 0.01
"""The interval between two attempts to take SQLite's lock file."""

_LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's error code for a lock timeout."""


class SubmitLockError(Exception):
    """The submits before this one did not finish in time."""

    def __init__(self, code_location: str, seconds: float) -> None:
        super().__init__(
            f"The run of code location {code_location!r} can't be queued: it has a max_queued, and other submits"
            f" have held its lock for {seconds:.0f} s. Submit the run again; if this persists, look for a"
            " process that hangs in the middle of a submit."
        )


Tag = Callable[[DagsterInstance | db.Connection], None]
"""Tags the run, over an open PostgreSQL connection or one of its own; see `write_tags`."""


class SubmitLock:
    """The locks of one instance."""

    def __init__(self) -> None:
        self._in_this_process: dict[str, threading.Lock] = {}
        self._went_on: dict[str, float] = {}
        """When a submit of this process last got the lock of a code location, by the monotonic clock."""

    @contextmanager
    def held(self, instance: DagsterInstance, code_location: str, tag: Tag) -> Iterator[db.Connection]:
        """Keep other submits from queueing runs of a code location, with a connection to count them.

        The run is tagged first. On PostgreSQL its tags go through the same connection, because connecting costs
        more than everything else.

        Raises:
            SubmitLockError: Other submits held the lock for too long.
        """
        began = time.monotonic()

        def left() -> float:
            """The seconds for which this one may still wait."""
            went_on = max(began, self._went_on.get(code_location, began))
            return min(began + LOCK_TIMEOUT_SECONDS, went_on + HUNG_SECONDS) - time.monotonic()

        # The threads of this process wait for each other before one of them opens a connection.
        in_this_process = self._in_this_process.setdefault(code_location, threading.Lock())
        while not in_this_process.acquire(timeout=max(0.001, left())):
            if left() <= 0:
                raise SubmitLockError(code_location, time.monotonic() - began)
        among_processes = ExitStack()
        try:
            if not _AT_ONCE.acquire(timeout=max(0.001, left())):
                raise SubmitLockError(code_location, time.monotonic() - began)
            among_processes.callback(_AT_ONCE.release)
            connection = among_processes.enter_context(run_database(instance).connect())
            is_postgresql = connection.dialect.name == "postgresql"
            tag(connection if is_postgresql else instance)
            hold = _on_postgresql if is_postgresql else _on_sqlite
            if not among_processes.enter_context(hold(connection, code_location, max(0.001, left()))):
                raise SubmitLockError(code_location, time.monotonic() - began)
            self._went_on[code_location] = time.monotonic()
            yield connection
        finally:
            in_this_process.release()
            # The run is queued by now, even if the connection was lost meanwhile and the lock with it.
            with suppress(db.exc.SQLAlchemyError):
                among_processes.close()


@contextmanager
def _on_postgresql(connection: db.Connection, code_location: str, seconds: float) -> Iterator[bool]:
    """The lock, and whether it was free in time."""
    with transaction(connection):
        connection.exec_driver_sql(
            f"SET LOCAL lock_timeout = {int(seconds * 1000)}; SET LOCAL statement_timeout = 0;"
            f" SET LOCAL idle_in_transaction_session_timeout = 0; {LOOKS_UP}"
        )
        try:
            connection.execute(db.select(db.func.pg_advisory_xact_lock(_number(code_location))))
        except db.exc.OperationalError as error:
            if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
                raise
            yield False
        else:
            yield True


def _number(code_location: str) -> int:
    """The number of a code location's advisory lock; one of the eight that version 2.1.0 takes to submit alone."""
    name = f"clt_queued_run_coordinator/0/{code_location}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big", signed=True)


@contextmanager
def _on_sqlite(connection: db.Connection, _: str, seconds: float) -> Iterator[bool]:
    """The same."""
    database = connection.engine.url.database or ""
    if database.startswith("file:"):  # in the memory of this process
        yield True
        return
    try:
        lock = FileLock(f"{database}.submit.lock").acquire(seconds, _POLL_SECONDS)
    except Timeout:
        yield False
        return
    with lock:
        yield True
