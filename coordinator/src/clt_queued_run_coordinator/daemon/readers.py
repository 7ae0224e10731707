"""Which daemons read the queue. Each says so under a key of its own, so that two at once can be told apart.

Dagster allows one daemon, and only logs it where a second one runs. Its heartbeats have one row for both, so a
look at that row can't tell.
"""

import os
import socket
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version

import sqlalchemy as db

from clt_queued_run_coordinator.config import plain_data
from clt_queued_run_coordinator.store import document

PREFIX = "clt_queued_run_coordinator.reader/"

PACKAGE = "dagster-clt-queued-run-coordinator"

TOLD_EVERY_SECONDS = 10.0
"""The least time between two times that a daemon says so."""

OVERLAP_SECONDS = 10.0
"""A daemon that still reads this long after another one has begun runs beside it. Clocks may differ by less."""

RECENT_SECONDS = 60.0
"""A daemon that last said so longer ago counts as gone."""

_FORGOTTEN_SECONDS = 3600.0


@dataclass(frozen=True)
class Reader:
    """A daemon that reads the queue.

    Attributes:
        process: Its machine and process.
        version: The version of this package that it runs.
        since: When it began, by its clock, in seconds since 1970.
        at: When it last read the queue, likewise.
    """

    process: str
    version: str
    since: float
    at: float


class Presence:
    """One daemon."""

    def __init__(self) -> None:
        self._key = PREFIX + uuid.uuid4().hex
        self._since: float | None = None
        self._told_at = 0.0

    def tell(self, connection: db.Connection) -> None:
        """Store that this daemon reads the queue, unless it was stored a moment ago."""
        now = round(time.time(), 3)
        if 0 <= now - self._told_at < TOLD_EVERY_SECONDS:
            return
        if self._since is None:
            self._since = now
            stored = document.read_texts(connection, PREFIX)
            kept = {key for key, reader in _parsed(stored).items() if now - reader.at < _FORGOTTEN_SECONDS}
            document.delete(connection, [PREFIX + key for key in stored if key not in kept])
        process = f"{socket.gethostname()} process {os.getpid()}"
        document.write(connection, self._key, asdict(Reader(process, version(PACKAGE), self._since, now)))
        self._told_at = now


def read(connection: db.Connection) -> list[Reader]:
    """The daemons that have read the queue lately, the newest first."""
    found = _parsed(document.read_texts(connection, PREFIX))
    return sorted(found.values(), key=lambda reader: reader.since, reverse=True)


def at_once(readers: Iterable[Reader], now: float) -> list[Reader]:
    """Those that run beside another one, at a time in seconds since 1970; empty where one runs at most."""
    recent = [reader for reader in readers if now - reader.at < RECENT_SECONDS]
    return [
        reader
        for reader in recent
        if any(
            min(reader.at, other.at) - max(reader.since, other.since) >= OVERLAP_SECONDS
            for other in recent
            if other is not reader
        )
    ]


def _parsed(stored: dict[str, str]) -> dict[str, Reader]:
    found = {key: plain_data.read(Reader, document.parse(text)) for key, text in stored.items()}
    return {key: reader for key, reader in found.items() if reader}
