"""What the daemon stores at its ticks, in one document: for itself after a restart, and for others to read.

Dagster's heartbeats of the daemon go on even if every tick fails. This document is written only after a tick has
read all it needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.config import plain_data
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
        last_tick: The last tick; None before the first one.
        launching: The runs that this tick handed over; None if it started nothing.
        totals: The totals of each code location; the one with the most recent event comes last.
        breakers: What the circuit breakers remember, as plain data.
        tracked: The runs whose ends the circuit breakers wait for, as plain data.
    """

    narrowed: bool | None = None
    credit: Credit = field(default_factory=Credit)
    last_tick: LastTick | None = None
    launching: Launching | None = None
    totals: Mapping[str, Totals] = field(default_factory=dict)
    breakers: Mapping[str, Any] = field(default_factory=dict)
    tracked: Mapping[str, Any] = field(default_factory=dict)


def read(connection: db.Connection) -> DaemonState:
    """The stored state. Whatever is missing or can't be read is as before the first tick.

    Args:
        connection: To the instance's run database.
    """
    data = plain_data.mapping(document.read(connection, KEY))
    narrowed = data.get("narrowed")
    at, seconds = plain_data.number(data.get("at")), plain_data.number(data.get("reading_seconds"))
    return DaemonState(
        narrowed=narrowed if isinstance(narrowed, bool) else None,
        credit=Credit.from_data(data.get("credit")),
        last_tick=None if at is None or seconds is None else LastTick(at, seconds),
        launching=_launching(plain_data.mapping(data.get("launching"))),
        totals={name: Totals.from_data(of) for name, of in plain_data.mapping(data.get("totals")).items()},
        breakers=plain_data.mapping(data.get("breakers")),
        tracked=plain_data.mapping(data.get("tracked")),
    )


def _launching(data: Mapping[str, Any]) -> Launching | None:
    began, runs, first = (
        plain_data.number(data.get("began")),
        plain_data.count(data.get("runs")),
        data.get("first"),
    )
    if began is None or not runs or not isinstance(first, list):
        return None
    return Launching(began, runs, tuple(str(run_id) for run_id in first[:LAUNCHING_NAMED]))


def write(instance: DagsterInstance, state: DaemonState) -> None:
    """Store the state."""
    tick, launching = state.last_tick, state.launching
    data = {
        "narrowed": state.narrowed,
        "credit": state.credit.as_data(),
        "at": tick and round(tick.at, 3),
        "reading_seconds": tick and round(tick.reading_seconds, 6),
        "launching": launching and {"began": launching.began, "runs": launching.runs, "first": launching.first},
        "totals": {name: totals.as_data() for name, totals in state.totals.items()},
        "breakers": state.breakers,
        "tracked": state.tracked,
    }
    document.write(instance, KEY, {key: value for key, value in data.items() if value not in (None, {})})
