"""Counts which runs started and ended since the last tick, for the metrics, and opens circuit breakers.

The runs in progress and those that were just offered to the daemon are tracked by the storage's ids. One of them
that is neither in progress nor queued any more, or a run that has left the queue, is looked up by its id: it has
ended and is counted, or it was deleted and is dropped. What is tracked changes only after that has worked, so
nothing is lost if a look-up fails.

The tracked runs, the totals and what the breakers remember are stored together with the daemon's state. A daemon
that is killed goes on from there, so each run that ends counts once for its breaker.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    DagsterInstance,
    DagsterRunStatus,
    RunRecord,
    RunsTable,
    run_database,
)
from clt_queued_run_coordinator.config.options import Breaker, CodeLocationLimits
from clt_queued_run_coordinator.config.tag import code_location_of
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.daemon.state import DaemonState
from clt_queued_run_coordinator.policy.breaker import BreakerState, EndedRun, OpenBreaker, update
from clt_queued_run_coordinator.policy.changes import Change, Kind, LiveChanges, iso
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.policy.totals import Outcome, Totals
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.database_clock import in_utc, utc
from clt_queued_run_coordinator.store.rows import of_runs

BY = "circuit breaker"
"""The author of the live changes that open breakers."""

CODE_LOCATIONS_KEPT = 1000
"""The most code locations with totals. Beyond that, the one without an event for the longest time is dropped."""

_OUTCOMES = {
    DagsterRunStatus.SUCCESS.value: Outcome.SUCCESS,
    DagsterRunStatus.FAILURE.value: Outcome.FAILURE,
    DagsterRunStatus.CANCELED.value: Outcome.CANCELED,
}


class Tracked(NamedTuple):
    """A run that is in progress, or was offered to the daemon: when, in seconds since 1970.

    That is 0 once its start has been counted.
    """

    code_location: str
    offered: float = 0.0


class Accounting:
    """The totals and the circuit breakers of one instance."""

    def __init__(self, limits: CodeLocationLimits, log: logging.Logger) -> None:
        self._limits = limits
        self._log = log
        self._tracked: dict[int, Tracked] | None = None
        self._breakers: dict[str, BreakerState] = {}
        self._ended: list[EndedRun] = []
        self._not_stored: dict[str, str] = {}
        self._totals: dict[str, Totals] = {}

    def restore(self, stored: DaemonState) -> None:
        """Go on from what the daemon has stored."""
        self._totals = dict(stored.totals)
        if "breaker" not in self._limits.used:
            return
        self._breakers = dict(stored.breakers)
        if stored.tracked:
            self._tracked = {
                storage_id: Tracked(name, offered)
                for name, runs in stored.tracked.items()
                for storage_id, offered in runs.items()
            }

    def stored(self) -> dict[str, Any]:
        """The parts of `DaemonState` that `restore` takes."""
        tracked: dict[str, dict[int, float]] = {}
        if "breaker" in self._limits.used:
            for storage_id, run in (self._tracked or {}).items():
                tracked.setdefault(run.code_location, {})[storage_id] = run.offered
        breakers = {name: breaker for name, breaker in self._breakers.items() if breaker != BreakerState()}
        return {"totals": self._totals, "tracked": tracked, "breakers": breakers}

    def offer(self, offered: Mapping[str, Iterable[int]]) -> None:
        """Track runs that the daemon is about to start: the storage's ids by code location."""
        now = time.time()
        if self._tracked is not None:
            for name, runs in offered.items():
                self._tracked.update((storage_id, Tracked(name, now)) for storage_id in runs)

    def count(self, instance: DagsterInstance, records: Sequence[RunRecord], queued: QueuedRuns) -> None:
        """Count what has started and ended since the last tick, by the runs in progress and those that left."""
        now = time.time()
        before = self._tracked or {}
        left = {**{storage_id: Tracked(name) for storage_id, name in queued.departed.items()}, **before}
        tracked: dict[int, Tracked] = {}
        started: dict[int, Tracked] = {}
        for record in records:
            storage_id, name = record.storage_id, code_location_of(record.dagster_run) or NO_CODE_LOCATION
            known = left.get(storage_id, Tracked(name))
            if self._tracked is not None and (storage_id not in before or known.offered):
                started[storage_id] = Tracked(name, known.offered)
            tracked[storage_id] = Tracked(name)
        gone = {number: run for number, run in left.items() if number not in tracked and number not in queued}
        waits: list[tuple[str, float]] = []
        ended: list[EndedRun] = []
        for storage_id, run_id, status, created, started_at, ended_at in _look_up(instance, [*started, *gone]):
            known, outcome = started.get(storage_id) or gone[storage_id], _OUTCOMES.get(status)
            has_started = storage_id in started
            if storage_id in gone and outcome:
                ended.append(EndedRun(run_id, known.code_location, outcome, ended_at or now))
                was_queued = storage_id not in before
                has_started = bool(known.offered) or (was_queued and outcome is not Outcome.CANCELED)
            elif storage_id in gone and status != DagsterRunStatus.QUEUED.value:
                tracked[storage_id] = known
            if has_started:
                began = known.offered or started_at or ended_at or now
                waits.append((known.code_location, began - utc(created).timestamp()))
        for name, waited in waits:
            self._totals_of(name).start(waited)
        for end in sorted(ended, key=lambda run: run.ended):
            self._totals_of(end.code_location).ends[end.outcome] += 1
            self._ended.append(end)
        self._tracked = tracked
        queued.departed.clear()

    def open_breakers(self, instance: DagsterInstance, changes: LiveChanges) -> dict[str, Change]:
        """Open the circuit breaker of each code location of which too many runs have failed.

        A change that can't be stored holds for this tick, and the next tick tries again.
        """
        ended, self._ended = self._ended, []
        if "breaker" not in self._limits.used:
            return {}
        updated = update(self._breakers, ended, self._breaker, changes)
        self._breakers = updated.states
        for name in updated.closed:
            self._log.info(
                "The circuit breaker of code location %r is closed; its failures count from 0 again.", name
            )
        return {name: self._open(instance, name, reason, changes) for name, reason in updated.opens.items()}

    def _open(self, instance: DagsterInstance, name: str, reason: str, changes: LiveChanges) -> Change:
        breaker = self._breaker(name)
        pause = timedelta(seconds=breaker.pause_for) if breaker and breaker.pause_for else None
        try:
            change = live.write(instance, Kind.BREAKER, name, True, until=pause, reason=reason, by=BY)
        except Exception as error:  # noqa: BLE001 - whatever the database says, the code location is held
            if self._not_stored.get(name) != reason:
                self._log.warning(
                    "The circuit breaker of code location %r has opened (%s), but that can't be stored (%s: %s)."
                    " None of its runs start, and each tick tries again.",
                    *(name, reason, type(error).__name__, str(error).partition("\n")[0]),
                )
            self._not_stored[name] = reason
            return Change(True, BY, changes.read_at, changes.read_at + pause if pause else None, reason)
        self._not_stored.pop(name, None)
        self._breakers[name] = BreakerState(open=OpenBreaker.of(change))
        self._log.warning(
            "The circuit breaker of code location %r has opened: %s. %s start until %s.",
            name,
            change.reason,
            "Only its manually launched runs" if breaker and breaker.manual_launches else "None of its runs",
            f"{iso(change.until)} or `dagster-clt resume`" if change.until else "`dagster-clt resume`",
        )
        return change

    def _breaker(self, code_location: str) -> Breaker | None:
        return self._limits.entry(code_location).breaker

    def _totals_of(self, code_location: str) -> Totals:
        # The one with the most recent event comes last.
        totals = self._totals[code_location] = self._totals.pop(code_location, Totals())
        if len(self._totals) > CODE_LOCATIONS_KEPT:
            del self._totals[next(iter(self._totals))]
        return totals


def _look_up(instance: DagsterInstance, storage_ids: Sequence[int]) -> Iterator["db.Row[Any]"]:
    """The id, run id, status and times of those runs that still exist."""
    if not storage_ids:
        return
    columns = RunsTable.c
    with run_database(instance).connect() as connection:
        query = db.select(
            *(columns.id, columns.run_id, columns.status),
            *(in_utc(connection, columns.create_timestamp), columns.start_time, columns.end_time),
        )
        yield from of_runs(connection, query, storage_ids)
