"""Which runs started and which ended since the last tick, and how: each exactly once, also across restarts.

Nothing is told by time: no window that could be looked at twice, no cursor that could run ahead. The numbers of
the runs in progress are tracked, and those of the runs that the daemon was offered last. Whatever is tracked, or
has left the queue, and isn't in progress any more is looked up by its number: it has ended and is counted, or it
was deleted and is forgotten. What is tracked and what was counted are stored in one key, by one statement, only
where something has changed. So what is stored fits together whenever the daemon is killed:

- Before the store, what was counted in memory is gone; the stored numbers lead to the same runs again.
- Between the store and the launch, an offered run is still queued: it has not started, and is forgotten.
- After the launch, the offered run is in progress or has ended: its start is counted at the next tick, and its
  end.
- While the statement is under way, it is done or not done as a whole. If it was done and the answer was lost, the
  next store finds another text than it knows, and what is stored is read anew.
- A second daemon, started by mistake, finds another text as well: what the first one stored stays.

What can be missed: a run that is canceled while it is queued and no daemon runs; with a queue that is read as a
whole, also a run that starts just before the daemon is killed and ends before the next one is up; and a run that
passes by the coordinator and ends within a tick.
"""

import json
import math
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as db
from dagster import DagsterEventType

from clt_queued_run_coordinator._dagster import (
    DagsterInstance,
    DagsterRunStatus,
    KeyValueStoreTable,
    RunRecord,
    RunsTable,
    run_database,
)
from clt_queued_run_coordinator.daemon.totals import Outcome, Totals
from clt_queued_run_coordinator.queue.queued_runs import NO_CODE_LOCATION, in_chunks
from clt_queued_run_coordinator.tagging.code_location_tag import code_location_of

KEY = "clt_queued_run_coordinator.totals"

CODE_LOCATIONS_KEPT = 1000
"""Of how many code locations the totals are kept: beyond that, those go of which nothing happened for longest."""

ASKED_AT_MOST = 100
"""Of how many runs that were canceled before they began to work a tick reads whether they had been launched. Where
there are more, somebody has emptied the queue."""

_ENDED = {
    DagsterRunStatus.SUCCESS.value: Outcome.SUCCESS,
    DagsterRunStatus.FAILURE.value: Outcome.FAILURE,
    DagsterRunStatus.CANCELED.value: Outcome.CANCELED,
}


@dataclass(frozen=True)
class StartedRun:
    """A run that started.

    Attributes:
        number: The storage's number of it.
        run_id: Its id.
        code_location: Where it comes from; `NO_CODE_LOCATION` where it doesn't tell.
        created: When it was created, in seconds since 1970.
        started: When it was offered to the daemon, which starts it at once; of a run that was not, when it began
            to work or was first seen.
    """

    number: int
    run_id: str
    code_location: str
    created: float
    started: float


@dataclass(frozen=True)
class EndedRun:
    """A run that ended.

    Attributes:
        number: The storage's number of it.
        run_id: Its id.
        code_location: Where it comes from; `NO_CODE_LOCATION` where it doesn't tell.
        outcome: How it ended.
        created: When it was created, in seconds since 1970.
        started: When it began to work; None where it never did.
        ended: When it ended.
    """

    number: int
    run_id: str
    code_location: str
    outcome: Outcome
    created: float
    started: float | None
    ended: float


@dataclass(frozen=True)
class SinceLastTick:
    """What happened since the last tick; a run can be in both.

    Attributes:
        started: The runs that started.
        ended: The runs that ended, those among them that were canceled while they were queued; in the order in
            which they ended.
    """

    started: Sequence[StartedRun] = ()
    ended: Sequence[EndedRun] = ()


@dataclass(frozen=True)
class _Tracked:
    """A run that is offered or in progress; `offered` is when it was offered, None once its start is counted."""

    code_location: str
    offered: float | None


@dataclass(frozen=True)
class _Row:
    run_id: str
    status: str
    created: float
    started: float | None
    ended: float | None


class Outcomes:
    """Follows the runs of an instance from tick to tick, and counts them."""

    def __init__(self) -> None:
        self.totals: dict[str, Totals] = {}
        """What was counted, by code location; the one of which something happened last is the last."""
        self.breakers: Any = None
        """What the circuit breakers remember, as plain data: it is stored with what they have counted."""
        self._tracked: dict[int, _Tracked] = {}
        self._stored: str | None = None
        self._is_read = False
        self._begins = False
        self._has_changed = False

    def read(self, connection: db.Connection) -> None:
        """Read what is stored, unless it is known.

        Args:
            connection: To the instance's run database.
        """
        if self._is_read:
            return
        self._stored = connection.execute(_QUERY).scalar()
        stored = _parse(self._stored)
        self.breakers = _breakers(self._stored)
        self._begins = stored is None
        self._tracked, self.totals = stored or ({}, {})
        self._is_read, self._has_changed = True, False

    def learn(
        self,
        instance: DagsterInstance,
        in_progress: Sequence[RunRecord],
        left: Mapping[int, str],
        queued: Container[int],
        *,
        whole: bool,
    ) -> SinceLastTick:
        """Learn what happened since the last tick, and count it.

        What is in progress at the very first tick is tracked and not counted as started; nothing older counts.

        Args:
            instance: Whose runs.
            in_progress: The runs in progress.
            left: The code location of each run that has left the queue since the last time.
            queued: The runs that are queued.
            whole: Whether the queue is read as a whole, so that runs start without being offered.
        """
        now = time.time()
        before, records = self._tracked, {record.storage_id: record for record in in_progress}
        names = {**left, **{number: of_it.code_location for number, of_it in before.items()}}
        rows = _look_up(instance, [number for number in names if number not in records and number not in queued])
        tracked: dict[int, _Tracked] = {}
        started: list[StartedRun] = []
        ended: list[EndedRun] = []
        for number, record in records.items():
            known = before.get(number)
            if known is None or known.offered is not None:
                start = _start_of(record, known, now)
                known = _Tracked(start.code_location, None)
                if not self._begins:
                    started.append(start)
            tracked[number] = known
        unclear: dict[int, StartedRun] = {}
        for number, row in rows.items():
            known = before.get(number) or _Tracked(names[number], row.started or row.ended or now)
            outcome = _ENDED.get(row.status)
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
        if len(unclear) <= ASKED_AT_MOST:
            started += [start for start in unclear.values() if _was_launched(instance, start.run_id)]
        ended.sort(key=lambda run: run.ended)
        self._has_changed |= self._begins or bool(started or ended) or tracked != before
        self._tracked, self._begins = tracked, False
        for run in started:
            self._of(run.code_location).start(run.started - run.created)
        for end in ended:
            self._of(end.code_location).end(end.outcome)
        return SinceLastTick(started, ended)

    def offer(self, runs: Mapping[str, Iterable[int]]) -> None:
        """Track runs that the daemon is about to start.

        Args:
            runs: Their numbers, by code location.
        """
        now = time.time()
        for name, numbers in runs.items():
            for number in numbers:
                self._tracked[number] = _Tracked(name, now)
                self._has_changed = True

    def remember(self, breakers: Any) -> None:
        """Take what the circuit breakers remember from now on."""
        self._has_changed |= breakers != self.breakers
        self.breakers = breakers

    def forget(self) -> None:
        """Learn anew what happened since the last store, from what is stored by then."""
        self._is_read = False

    def store_within(self, connection: db.Connection) -> bool:
        """Store what is tracked and counted in a transaction of the caller's.

        Args:
            connection: To the instance's run database.

        Returns:
            Whether it was stored; it isn't where another daemon has stored something meanwhile.
        """
        text = json.dumps(self._as_data())
        if self._stored is None:
            connection.execute(KeyValueStoreTable.insert().values(key=KEY, value=text))
        elif not connection.execute(self._update(text)).rowcount:
            return False
        self._stored, self._has_changed = text, False
        return True

    def store(self, instance: DagsterInstance) -> None:
        """Store what is tracked and counted, where it has changed."""
        if not self._has_changed:
            return
        text = json.dumps(self._as_data())
        if self._stored is None:
            instance.daemon_cursor_storage.set_cursor_values({KEY: text})
        else:
            with run_database(instance).connect() as connection:
                self._is_read = connection.execute(self._update(text)).rowcount > 0
        self._stored, self._has_changed = text, False

    def _update(self, text: str) -> db.Update:
        key, value = KeyValueStoreTable.c.key, KeyValueStoreTable.c.value
        return KeyValueStoreTable.update().where(key == KEY, value == self._stored).values(value=text)

    def _of(self, code_location: str) -> Totals:
        totals = self.totals[code_location] = self.totals.pop(code_location, Totals())
        if len(self.totals) > CODE_LOCATIONS_KEPT:
            del self.totals[next(iter(self.totals))]
        return totals

    def _as_data(self) -> dict[str, Any]:
        in_progress: dict[str, list[int]] = {}
        offered: dict[str, dict[int, float]] = {}
        for number, of_it in self._tracked.items():
            if of_it.offered is None:
                in_progress.setdefault(of_it.code_location, []).append(number)
            else:
                offered.setdefault(of_it.code_location, {})[number] = round(of_it.offered, 3)
        totals = {name: of_it.as_data() for name, of_it in self.totals.items()}
        data = {"totals": totals, "in_progress": in_progress, "offered": offered}
        return {**data, "breakers": self.breakers} if self.breakers else data


def read_totals(connection: db.Connection) -> dict[str, Totals]:
    """The totals of each code location as the daemon has stored them last.

    Args:
        connection: To the instance's run database.
    """
    stored = _parse(connection.execute(_QUERY).scalar())
    return stored[1] if stored else {}


_QUERY = db.select(KeyValueStoreTable.c.value).where(KeyValueStoreTable.c.key == KEY)


def _parse(text: str | None) -> tuple[dict[int, _Tracked], dict[str, Totals]] | None:
    """What is tracked, and the totals; None where nothing is stored or it can't be understood."""
    try:
        data: Any = json.loads(text) if text else None
        return _tracked(data), {_name(name): Totals.from_data(of_it) for name, of_it in data["totals"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _tracked(data: Any) -> dict[int, _Tracked]:
    tracked = {}
    for name, numbers in data["in_progress"].items():
        tracked.update({_number(number): _Tracked(_name(name), None) for number in numbers})
    for name, offered in data["offered"].items():
        tracked.update({_number(number): _Tracked(_name(name), _moment(at)) for number, at in offered.items()})
    return tracked


def _name(stored: str) -> str:
    stored.encode()  # JSON can hold what is no text, which nobody could be shown
    return stored


def _number(stored: str | int) -> int:
    number = int(stored)
    if not 0 < number < 2**63:
        raise ValueError(f"{number} is no number of a run")
    return number


def _moment(stored: float) -> float:
    if not math.isfinite(stored):
        raise ValueError(f"{stored} is no moment")
    return float(stored)


def _breakers(text: str | None) -> Any:
    try:
        return json.loads(text).get("breakers") if text else None
    except (ValueError, AttributeError, RecursionError):
        return None


def _look_up(instance: DagsterInstance, numbers: Sequence[int]) -> dict[int, _Row]:
    """The runs that there still are, by number."""
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
                rows[number] = _Row(run_id, status, _seconds(created), started, ended)
    return rows


def _was_launched(instance: DagsterInstance, run_id: str) -> bool:
    """Whether the daemon took a run out of the queue; the runs' table doesn't tell before it begins to work."""
    return bool(instance.get_records_for_run(run_id, of_type=DagsterEventType.RUN_STARTING, limit=1).records)


def _start_of(record: RunRecord, known: _Tracked | None, now: float) -> StartedRun:
    run = record.dagster_run
    return StartedRun(
        record.storage_id,
        run.run_id,
        known.code_location if known else code_location_of(run) or NO_CODE_LOCATION,
        _seconds(record.create_timestamp),
        (known.offered if known else record.start_time) or now,
    )


def _seconds(stored: datetime) -> float:
    """A moment in seconds since 1970; the storages keep UTC without saying so."""
    return (stored.replace(tzinfo=timezone.utc) if stored.tzinfo is None else stored).timestamp()
