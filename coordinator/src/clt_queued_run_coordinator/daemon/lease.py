"""Which daemon dequeues: one at a time, however many run and whatever started them.

The lease is a document that names a process and its current tick. A run starts by one statement that also looks at
this document and locks it. So once another daemon has written itself into it, nothing more can start that was
chosen before, even by a daemon that was suspended amid its tick. No clock has a part in that.

Whatever hangs must not hang for ever. The thread that renews the lease ends the process of a daemon whose tick, or
whose own question to the database, gets no answer for minutes: Kubernetes starts it again, with new connections.

A second document holds the time of the last renewal, by the database's clock. It only decides when another daemon
may take the lease. Nothing is tied to a session of the database, so PgBouncer may share its connections.
"""

import faulthandler
import json
import logging
import os
import socket
import threading
import time
import uuid
import weakref
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    QUEUE_DAEMON,
    DagsterInstance,
    DagsterRunStatus,
    KeyValueStoreTable,
    RunsTable,
    run_database,
)
from clt_queued_run_coordinator.store import database_clock, document
from clt_queued_run_coordinator.store.rows import IS_QUEUED

KEY = "clt_queued_run_coordinator.lease"
RENEWED_KEY = "clt_queued_run_coordinator.lease_renewed"

SECONDS = 8.0
"""A lease that was last renewed longer ago may be taken by another daemon."""

RENEWAL_SECONDS = 2.0
"""The interval between two renewals."""

STANDBY_SECONDS = 1.0
"""The interval between two looks of a standby."""

HUNG_SECONDS = 60.0
"""A tick that has shown no sign of life for this long, beside the interval between two ticks, hangs. The lease is
not renewed for it, so that a standby takes over. A renewal without an answer for this long ends the process."""

CONNECT_SECONDS = 120.0
"""The same before it is connected, because six tries to connect take half of it."""

ENDED_SECONDS = 300.0
"""A tick that has hung for this long ends the process."""

_DAEMON_THREAD = f"dagster-daemon-{QUEUE_DAEMON}"
"""Only a tick in this thread of Dagster's daemon may end the process."""

PROCESS = f"{socket.gethostname()} process {os.getpid()}"
"""What a person calls this process."""


def _processes() -> str | None:
    """What names the processes that this one can see, over all machines; None where that isn't Linux."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return None


THIS_PROCESS = json.dumps(
    {"process": PROCESS, "id": uuid.uuid4().hex, "number": os.getpid(), "among": _processes()}
)[:-1]
"""How each text of this process begins. A container that was restarted has the same name and number as before."""

_COLUMNS = KeyValueStoreTable.c
_LEASE = KeyValueStoreTable.alias().c


@dataclass(frozen=True)
class Leader:
    """The daemon that holds the lease.

    Attributes:
        process: Its machine and process.
        renewed_at: When it last renewed the lease, in UTC by the database's clock; None once it has given it up.
        tick: What the lease says in its current tick.
    """

    process: str
    renewed_at: datetime | None
    tick: str

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine, and there is none of its number any more."""
        stored, among = document.parse(self.tick), _processes()
        number = stored.get("number")
        if not isinstance(number, int) or number <= 0 or among is None or stored.get("among") != among:
            return False
        try:
            os.kill(number, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except OSError:
            return False
        return False


class NotStartedError(Exception):
    """A run that a tick has chosen isn't started; the message says why."""

    def __init__(self, run_id: str, why: str) -> None:
        super().__init__(f"Run {run_id} is not started: {why}. Nothing is lost, and nothing has to be done.")


class Lease:
    """The lease, as one coordinator takes and keeps it."""

    def __init__(self, interval: float, log: logging.Logger) -> None:
        """`interval` is the time between two ticks, in seconds."""
        self._process = THIS_PROCESS
        self._interval = interval
        self._log = log
        self._sign_of_life = self._renewed = 0.0
        self._instance: weakref.ref[DagsterInstance] | None = None
        self._stopped = threading.Event()
        self._renewing: threading.Thread | None = None
        self._is_watched = False
        self.tick: str | None = None
        """What the lease says in this tick; None while another daemon holds it."""
        self.ends_process = False
        """Whether the process ends when another daemon has taken the lease, for its schedules and sensors."""

    def show_life(self) -> None:
        """Say that the daemon goes on: a tick begins, or one of its runs starts."""
        self._sign_of_life = time.monotonic()

    def take(self, instance: DagsterInstance, connection: db.Connection, *, anew: bool = True) -> bool:
        """Begin a tick. Afterwards `tick` is what the lease says in it, or None if another daemon holds the lease.

        Args:
            instance: The daemon's instance.
            connection: To its database; each statement on it is a transaction.
            anew: Whether runs that an earlier tick has chosen could still start. From now on they can't.

        Returns:
            Whether nobody else has dequeued since this coordinator's last tick.
        """
        before, now = self.tick, time.monotonic()
        text = f'{self._process}, "tick": "{uuid.uuid4().hex}"}}' if anew or not before else before
        self.tick = None
        self.show_life()
        self._is_watched = threading.current_thread().name == _DAEMON_THREAD
        is_continued = before is not None and _goes_on(connection, before, text)
        if not is_continued:
            if not _is_free(connection, self._process) and not _is_left(connection, self._process):
                return False
            document.put(connection, {KEY: text})
            self._renewed = now
        elif now - self._renewed >= 2 * RENEWAL_SECONDS:  # no thread does it
            _changed(connection, _renewal(connection, self._process))
            self._renewed = now
        self.tick, self._instance = text, weakref.ref(instance)
        if not self._renewing and connection.dialect.name == "postgresql":
            self._renewing = threading.Thread(target=self._keep, name="lease", daemon=True)
            self._renewing.start()
        return is_continued

    def start(self, instance: DagsterInstance, run_id: str, tick: str | None) -> None:
        """Take a run out of the queue, as starting, in the name of the tick that has chosen it.

        Raises:
            NotStartedError: It isn't queued any more, or another tick has begun, of this daemon or another.
        """
        self.show_life()
        # FOR SHARE: who takes the lease waits for this statement, and counts the run.
        held = db.select(db.literal(1)).where(_LEASE.key == KEY, _LEASE.value == tick).with_for_update(read=True)
        statement = (
            RunsTable.update()
            .where(RunsTable.c.run_id == run_id, IS_QUEUED, db.exists(held.subquery().select()))
            .values(status=DagsterRunStatus.STARTING.value)
        )
        with run_database(instance).connect() as connection:
            if _changed(connection, statement):
                return
            if connection.execute(held).scalar():
                raise NotStartedError(run_id, "it has left the queue since this tick chose it")
        if tick == self.tick:
            self.tick = None
        raise NotStartedError(run_id, "another daemon, or the next tick, has begun to dequeue")

    def give_up(self) -> None:
        """Let another daemon take the lease at once, because this one ends."""
        self._stopped.set()
        instance = self._instance() if self._instance else None
        # Beyond that it is free anyhow, and the database may be what's missing.
        if instance and self.tick and time.monotonic() - self._renewed < SECONDS:
            with suppress(Exception), run_database(instance).connect() as connection:
                connection.execute(_update(RENEWED_KEY, "").where(_is_of(self._process)))
        self.tick = None

    def _keep(self) -> None:
        """Renew the lease until the instance is gone, and end the process when that has to be."""
        while not self._stopped.wait(RENEWAL_SECONDS) and self._instance and (instance := self._instance()):
            idle = time.monotonic() - self._sign_of_life - self._interval
            if self._is_watched and idle > ENDED_SECONDS:
                self._end_process(f"its look at the queue, or a launch, has hung for {idle:.0f} s")
            self._end_process_unless_it_goes_on(CONNECT_SECONDS)
            # Without the database nothing can be known. It is asked again.
            with suppress(Exception), run_database(instance).connect() as connection:
                self._end_process_unless_it_goes_on(HUNG_SECONDS)
                if self.tick and idle < HUNG_SECONDS and _changed(connection, _renewal(connection, self._process)):
                    self._renewed = time.monotonic()
                    continue
                leader = read(connection)
                if self.ends_process and leader and not leader.tick.startswith(self._process):
                    self._end_process(
                        f"the daemon {leader.process} has taken over, and schedules must not run twice"
                    )
            del instance
        if self._is_watched:
            faulthandler.cancel_dump_traceback_later()

    def _end_process_unless_it_goes_on(self, seconds: float) -> None:
        """End the process, with the stack of each thread, unless this is called again in time."""
        if self._is_watched:
            with suppress(Exception):  # standard error is no file
                faulthandler.dump_traceback_later(seconds, exit=True)

    def _end_process(self, why: str) -> None:
        self._log.critical("This daemon ends to be started again: %s.", why)
        os._exit(1)  # at once: no other thread may have a last word


def read(connection: db.Connection) -> Leader | None:
    """The daemon that holds the lease or held it last; None if none ever did."""
    query = db.select(_COLUMNS.key, _COLUMNS.value).where(_COLUMNS.key.in_([KEY, RENEWED_KEY]))
    texts: dict[str, str | None] = dict(connection.execute(query).tuples().all())
    stored = document.parse(texts.get(KEY))
    if not isinstance(stored, dict) or not isinstance(stored.get("process"), str):
        return None
    renewed_at = None
    with suppress(ValueError):
        renewed_at = database_clock.moment(texts.get(RENEWED_KEY) or "")
    return Leader(stored["process"], renewed_at, texts[KEY] or "")


def _is_free(connection: db.Connection, process: str) -> bool:
    """Renew the lease if it is free or the process's. Of several daemons that ask at once only one may.

    PostgreSQL looks at the newest time, also where it had to wait for the one who wrote it.
    """
    now = database_clock.now(connection)
    is_fresh = db.func.coalesce(_COLUMNS.value, "").between(
        database_clock.now(connection, -SECONDS), database_clock.now(connection, SECONDS)
    )
    statement = (
        document.insert(connection)
        .values(key=RENEWED_KEY, value=now)
        .on_conflict_do_update(
            index_elements=[_COLUMNS.key], set_={"value": now}, where=db.or_(db.not_(is_fresh), _is_of(process))
        )
    )
    return _changed(connection, statement)


def _is_left(connection: db.Connection, process: str) -> bool:
    """The same as `_is_free`, where the daemon that holds the lease was killed on this machine."""
    leader = read(connection)
    if not leader or not leader.is_gone:
        return False
    connection.execute(
        _update(RENEWED_KEY, "").where(db.exists().where(_LEASE.key == KEY, _LEASE.value == leader.tick))
    )
    return _is_free(connection, process)


def _goes_on(connection: db.Connection, before: str, text: str) -> bool:
    """Whether the lease still said what it said before; now it says the text."""
    if text == before:
        query = db.select(db.literal(1)).where(_COLUMNS.key == KEY, _COLUMNS.value == text)
        return connection.execute(query).scalar() is not None
    return _changed(connection, _update(KEY, text).where(_COLUMNS.value == before))


def _update(key: str, value: str | db.ColumnElement[str]) -> db.Update:
    return KeyValueStoreTable.update().where(_COLUMNS.key == key).values(value=value)


def _renewal(connection: db.Connection, process: str) -> db.Update:
    return _update(RENEWED_KEY, database_clock.now(connection)).where(_is_of(process))


def _is_of(process: str) -> db.ColumnElement[bool]:
    return db.exists().where(_LEASE.key == KEY, _LEASE.value.startswith(process, autoescape=True))


def _changed(connection: db.Connection, statement: db.Executable) -> bool:
    return connection.execute(statement).rowcount == 1
