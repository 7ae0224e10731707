"""Tracks which runs started and ended since the last tick, and counts each exactly once, even across restarts.

Nothing depends on time: there is no window that could be read twice and no cursor that could run ahead. Instead
the storage's ids of two kinds of runs are tracked: those in progress, and those that the daemon was last
offered. A run that is tracked or has left the queue, and is no longer in progress, is looked up by its id.
Either it has ended and is counted, or it was deleted and is dropped.

The tracked runs and the totals are stored under one key by one statement, and only when something has changed.
So they always agree, whenever the daemon is killed:

- Before the store: what was counted in memory is lost, and the stored ids lead to the same runs again.
- Between the store and the launch: an offered run is still queued. It has not started and is dropped.
- After the launch: the offered run is in progress or has ended. The next tick counts its start, and its end.
- During the statement: it either happened or it did not. If it did and the answer was lost, the next store finds
  a text that it doesn't expect, and the document is read again.
- A second daemon, started by mistake, also finds a text that it doesn't expect. What the first one stored stays.

Three things can be missed: a run that is canceled in the queue while no daemon is up; when the whole queue is
read, a run that starts just before the daemon is killed and ends before the next daemon is up; and a run that
bypasses the coordinator and ends within one tick.
"""

import time
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    KeyValueStoreTable,
    RunRecord,
    RunsTable,
    run_database,
)
from clt_queued_run_coordinator.daemon import stored_totals
from clt_queued_run_coordinator.daemon.stored_totals import KEY, TrackedRun
from clt_queued_run_coordinator.policy.outcomes import EndedRun, SinceLastTick, StartedRun
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.policy.totals import Outcome, Totals
from clt_queued_run_coordinator.store.code_location import code_location_of
from clt_queued_run_coordinator.store.document import read_text
from clt_queued_run_coordinator.store.rows import in_chunks, utc

CODE_LOCATIONS_KEPT = 1000
"""The totals of this many code locations are kept. Beyond that, the one without an event for longest is
dropped."""

EVENT_LOGS_PER_TICK = 100
"""A run that was canceled before it began to work may or may not have been launched; only its event log says. A
tick reads at most this many event logs. If there are more such runs, somebody has emptied the queue."""

_OUTCOMES = {
    DagsterRunStatus.SUCCESS.value: Outcome.SUCCESS,
    DagsterRunStatus.FAILURE.value: Outcome.FAILURE,
    DagsterRunStatus.CANCELED.value: Outcome.CANCELED,
}


@dataclass(frozen=True)
class _Row:
    run_id: str
    status: str
    created: float
    started: float | None
    ended: float | None


class RunTracker:
    """Tracks the runs of an instance from tick to tick and counts their starts and ends."""

    def __init__(self) -> None:
        self.totals: dict[str, Totals] = {}
        """The totals by code location; the code location with the most recent event comes last."""
        self.breakers: Any = None
        """What the circuit breakers remember, as plain data. It is stored together with what they counted."""
        self._tracked: dict[int, TrackedRun] = {}
        self._stored: str | None = None
        self._is_read = False
        self._is_first_tick = False
        self._has_changed = False

    def read(self, connection: db.Connection) -> None:
        """Read the stored state, unless it is in memory already.

        Args:
            connection: To the instance's run database.
        """
        if self._is_read:
            return
        self._stored = read_text(connection, KEY)
        stored = stored_totals.parse(self._stored)
        self.breakers = stored_totals.parse_breakers(self._stored)
        self._is_first_tick = stored is None
        self._tracked, self.totals = (stored.tracked, stored.totals) if stored else ({}, {})
        self._is_read, self._has_changed = True, False

    def update(
        self,
        instance: DagsterInstance,
        in_progress: Sequence[RunRecord],
        departed: Mapping[int, str],
        queued: Container[int],
        *,
        whole: bool,
    ) -> SinceLastTick:
        """Find out what happened since the last tick, and count it.

        At the very first tick, runs in progress are tracked but not counted as started. Older runs never count.

        Args:
            instance: The instance.
            in_progress: The runs in progress.
            departed: The code location of each run that has left the queue since the last call.
            queued: The runs that are queued.
            whole: Whether the daemon reads the whole queue, so that runs start without being offered.
        """
        now = time.time()
        before, records = self._tracked, {record.storage_id: record for record in in_progress}
        names = {**departed, **{number: run.code_location for number, run in before.items()}}
        rows = _look_up(instance, [number for number in names if number not in records and number not in queued])
        tracked: dict[int, TrackedRun] = {}
        started: list[StartedRun] = []
        ended: list[EndedRun] = []
        for number, record in records.items():
            known = before.get(number)
            if known is None or known.offered is not None:
                start = _start_of(record, known, now)
                known = TrackedRun(start.code_location, None)
                if not self._is_first_tick:
                    started.append(start)
            tracked[number] = known
        unclear: dict[int, StartedRun] = {}
        for number, row in rows.items():
            known = before.get(number) or TrackedRun(names[number], row.started or row.ended or now)
            outcome = _OUTCOMES.get(row.status)
            if outcome is None:
                if row.status != DagsterRunStatus.QUEUED.value:
                    tracked[number] = known
                continue
            name = known.code_location
            ended.append(EndedRun(number, row.run_id, name, outcome, row.created, row.started, row.ended or now))
            if known.offered is None:
                continue
            start = StartedRun(number, row.run_id, name, row.created, known.offered)
            if row.started is not None or outcome is not Outcome.CANCELED:
                started.append(start)
            elif number in before or whole:
                unclear[number] = start
        if len(unclear) <= EVENT_LOGS_PER_TICK:
            started += [start for start in unclear.values() if _was_launched(instance, start.run_id)]
        ended.sort(key=lambda run: run.ended)
        self._has_changed |= self._is_first_tick or bool(started or ended) or tracked != before
        self._tracked, self._is_first_tick = tracked, False
        for run in started:
            self._totals_of(run.code_location).start(run.started - run.created)
        for end in ended:
            self._totals_of(end.code_location).end(end.outcome)
        return SinceLastTick(started, ended)

    def offer(self, runs: Mapping[str, Iterable[int]]) -> None:
        """Track runs that the daemon is about to start.

        Args:
            runs: The storage's ids of the runs, by code location.
        """
        now = time.time()
        for name, numbers in runs.items():
            for number in numbers:
                self._tracked[number] = TrackedRun(name, now)
                self._has_changed = True

    def remember_breakers(self, breakers: Any) -> None:
        """Keep what the circuit breakers remember from now on."""
        self._has_changed |= breakers != self.breakers
        self.breakers = breakers

    def forget(self) -> None:
        """Drop what is in memory; the next tick starts again from the stored state."""
        self._is_read = False

    def store_in(self, connection: db.Connection) -> bool:
        """Store the state in the caller's transaction.

        Args:
            connection: To the instance's run database.

        Returns:
            False if another daemon has stored something in the meantime; nothing is stored then.
        """
        text = self._render()
        if self._stored is None:
            connection.execute(KeyValueStoreTable.insert().values(key=KEY, value=text))
        elif not connection.execute(self._update_statement(text)).rowcount:
            return False
        self._stored, self._has_changed = text, False
        return True

    def store(self, instance: DagsterInstance) -> None:
        """Store the state if it has changed."""
        if not self._has_changed:
            return
        text = self._render()
        if self._stored is None:
            instance.daemon_cursor_storage.set_cursor_values({KEY: text})
        else:
            with run_database(instance).connect() as connection:
                self._is_read = connection.execute(self._update_statement(text)).rowcount > 0
        self._stored, self._has_changed = text, False

    def _render(self) -> str:
        return stored_totals.render(self._tracked, self.totals, self.breakers)

    def _update_statement(self, text: str) -> db.Update:
        key, value = KeyValueStoreTable.c.key, KeyValueStoreTable.c.value
        return KeyValueStoreTable.update().where(key == KEY, value == self._stored).values(value=text)

    def _totals_of(self, code_location: str) -> Totals:
        totals = self.totals[code_location] = self.totals.pop(code_location, Totals())
        if len(self.totals) > CODE_LOCATIONS_KEPT:
            del self.totals[next(iter(self.totals))]
        return totals


def _look_up(instance: DagsterInstance, numbers: Sequence[int]) -> dict[int, _Row]:
    """The runs that still exist, by the storage's id."""
    if not numbers:
        return {}
    rows: dict[int, _Row] = {}
    with run_database(instance).connect() as connection:
        for chunk in in_chunks(numbers):
            query = db.select(
                RunsTable.c.id,
                RunsTable.c.run_id,
                RunsTable.c.status,
                RunsTable.c.create_timestamp,
                RunsTable.c.start_time,
                RunsTable.c.end_time,
            ).where(RunsTable.c.id.in_(chunk))
            for number, run_id, status, created, started, ended in connection.execute(query).all():
                rows[number] = _Row(run_id, status, utc(created).timestamp(), started, ended)
    return rows


def _was_launched(instance: DagsterInstance, run_id: str) -> bool:
    """Whether the daemon took a run out of the queue. The row of a run says so only once the run works."""
    return bool(instance.get_records_for_run(run_id, of_type=DagsterEventType.RUN_STARTING, limit=1).records)


def _start_of(record: RunRecord, known: TrackedRun | None, now: float) -> StartedRun:
    run = record.dagster_run
    return StartedRun(
        record.storage_id,
        run.run_id,
        known.code_location if known else code_location_of(run) or NO_CODE_LOCATION,
        utc(record.create_timestamp).timestamp(),
        (known.offered if known else record.start_time) or now,
    )
