"""What the daemon stores at its ticks, in one document: for itself after a restart, and for others to read.

Dagster's heartbeats of the daemon go on even if every tick fails. This document is written only after a tick has
read all it needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as db

from clt_queued_run_coordinator.config import plain_data
from clt_queued_run_coordinator.policy.breaker import BreakerState
from clt_queued_run_coordinator.policy.credit import Credit
from clt_queued_run_coordinator.policy.totals import Totals
from clt_queued_run_coordinator.store import document

KEY = "clt_queued_run_coordinator.daemon"

STORE_INTERVAL_SECONDS = 10.0
"""The longest time between two writes while ticks go on, in seconds."""

LAUNCHING_NAMED = 5
"""The most runs of a tick that are named while it launches them."""


@dataclass(frozen=True)
class LastTick:
    """The last tick that was stored.

    Attributes:
        at: When it had read all it needed, by the daemon's clock, in seconds since 1970.
        reading_seconds: How long this package's part of the tick took: reading the database and choosing the runs.
            Dagster's own reading of the runs in progress and the launches are not included.
    """

    at: float
    reading_seconds: float


@dataclass(frozen=True)
class Launching:
    """The runs that a tick has handed to the daemon, which launches them before the next tick begins.

    Attributes:
        began: When the tick began, by the daemon's clock, in seconds since 1970.
        runs: The number of them.
        first: The ids of the first ones, at most `LAUNCHING_NAMED`.
    """

    began: float
    runs: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class DaemonState:
    """What the daemon last stored.

    Attributes:
        narrowed: Whether the daemon was shown only the runs that may start; None before its first tick.
        credit: The credit of each code location and group at that time; empty if sharing isn't fair.
        at: See `last_tick`.
        reading_seconds: See `last_tick`.
        launching: The runs that this tick handed over; None if it started nothing.
        hanging: The code locations of the runs whose launch has had no answer for long, by the runs' ids.
        totals: The totals of each code location; the one with the most recent event comes last.
        breakers: What the circuit breakers remember, by code location.
        passed: When each queued run was first passed because of its size, by the storage's id and the database's
            clock, in seconds since 1970.
        tracked: The runs whose ends the circuit breakers wait for, by code location and the storage's id: when
            each was offered, in seconds since 1970; 0 once its start has been counted.
    """

    narrowed: bool | None = None
    credit: Credit = field(default_factory=Credit)
    at: float | None = None
    reading_seconds: float | None = None
    launching: Launching | None = None
    hanging: Mapping[str, str] = field(default_factory=dict)
    totals: Mapping[str, Totals] = field(default_factory=dict)
    breakers: Mapping[str, BreakerState] = field(default_factory=dict)
    passed: Mapping[int, float] = field(default_factory=dict)
    tracked: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    @property
    def last_tick(self) -> LastTick | None:
        """The last tick; None before the first one."""
        if self.at is None or self.reading_seconds is None:
            return None
        return LastTick(self.at, self.reading_seconds)


def read(connection: db.Connection) -> DaemonState:
    """The stored state. Whatever is missing or can't be read is as before the first tick."""
    stored: DaemonState | None = plain_data.read(DaemonState, document.read(connection, KEY))
    return stored or DaemonState()


def write(connection: db.Connection, state: DaemonState) -> None:
    """Store the state."""
    document.write(connection, KEY, plain_data.write(state))
