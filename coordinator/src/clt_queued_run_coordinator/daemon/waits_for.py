"""Says in the tags of queued runs what they wait for, for people who look at Dagster's list of runs.

Dagster's own page of a queued run says that it "will start soon", and its list shows a run's tags below its ID. So
the first and the newest runs of each code location get a tag once they have waited for a minute. It changes when
what holds the run changes, and it is removed before the run starts, so no run that has ended carries it.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from heapq import nlargest
from itertools import chain, islice

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    IN_PROGRESS_STATUSES,
    DagsterInstance,
    RunsTable,
    RunTagsTable,
    run_database,
)
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.daemon.selection import HeldBy
from clt_queued_run_coordinator.policy.holds import BEHIND_OTHERS, WAITS_FOR_TAG, Hold, holds, is_ours
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.store.database_clock import in_utc, utc
from clt_queued_run_coordinator.store.rows import of_runs
from clt_queued_run_coordinator.store.tag_writing import write_waits_for

AFTER = timedelta(minutes=1)
"""How long a run waits before it is tagged."""

FIRST, NEWEST = 5, 5
"""So many of the first and of the newest queued runs of each code location are tagged."""

LOOK_SECONDS = 2.0
"""The least time between two times that tags are written ..."""

WRITTEN_AT_ONCE = 10
"""... and the most runs that are then written."""

LOOKED_UP_AT_ONCE = 250
"""The most runs whose age is looked up at once."""

ADOPTED = 1000
"""The most tags that a new daemon takes over from the one before."""

_Texts = Iterator[tuple[int, str]]


class WaitsFor:
    """The tags that say what runs wait for, as far as this daemon knows them."""

    def __init__(self) -> None:
        self._written: dict[str, str] | None = None
        self._known: dict[int, tuple[str, datetime]] = {}
        self._looked_at = 0.0

    def write(
        self,
        instance: DagsterInstance,
        state: QueueState,
        queued: QueuedRuns,
        starts: Mapping[str, Collection[int]],
        held_by: HeldBy,
    ) -> None:
        """Write the tags that have changed, unless some were written a moment ago.

        The runs that start now are given by the storage's ids, by code location.
        """
        now = time.monotonic()
        if self._looked_at and now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        texts: dict[int, str] = {}
        if state.settings.code_location_limits.waits_for_tag:
            texts = dict(_texts(state, queued, starts, held_by))
        self._known = {storage_id: run for storage_id, run in self._known.items() if storage_id in texts}
        unknown = list(islice((run for run in texts if run not in self._known), LOOKED_UP_AT_ONCE))
        if unknown or self._written is None:
            with run_database(instance).connect() as connection:
                self._written = _adopted(connection) if self._written is None else self._written
                self._known |= _ids_and_ages(connection, unknown)
        wanted = {
            run_id: texts[storage_id]
            for storage_id, (run_id, created) in self._known.items()
            if state.live.read_at - created >= AFTER
        }
        gone: dict[str, str | None] = dict.fromkeys(self._written.keys() - wanted.keys())
        new = {run_id: text for run_id, text in wanted.items() if self._written.get(run_id) != text}
        some = dict(islice(chain(gone.items(), new.items()), WRITTEN_AT_ONCE))
        if some:
            write_waits_for(instance, some)
        for run_id, text in some.items():
            if text is None:
                del self._written[run_id]
            else:
                self._written[run_id] = text

    def has_written(self, run_id: str) -> bool:
        """Whether a run has a tag of this daemon, be it that its body has lost it."""
        return run_id in (self._written or {})

    def forget(self, run_ids: Iterable[str]) -> None:
        """Forget runs that start: their tags have been removed."""
        for run_id in run_ids:
            (self._written or {}).pop(run_id, None)


def _ids_and_ages(connection: db.Connection, storage_ids: Iterable[int]) -> dict[int, tuple[str, datetime]]:
    """The run id of each run, and when it was created, in UTC."""
    columns = RunsTable.c
    query = db.select(columns.id, columns.run_id, in_utc(connection, columns.create_timestamp))
    rows = of_runs(connection, query, storage_ids)
    return {storage_id: (run_id, utc(created)) for storage_id, run_id, created in rows}


def _texts(
    state: QueueState, queued: QueuedRuns, starts: Mapping[str, Collection[int]], held_by: HeldBy
) -> _Texts:
    """What each run to be tagged waits for, by the storage's id. The first runs of code locations come first."""
    running = state.in_progress_of + Counter({name: queued.slots_of(runs) for name, runs in starts.items()})
    held_by_any = cache(held_by)

    @cache
    def hold_of(name: str, slots: int) -> Hold | None:
        return next(holds(state, name, running, slots), None)

    newest: list[tuple[int, str]] = []
    for name in state.queued.keys() - {NO_CODE_LOCATION}:
        starting = set(starts.get(name, ()))

        def said(waiting: Iterable[int], most: int, name: str = name) -> _Texts:
            for storage_id in islice(waiting, most):
                of = queued.lane_of[storage_id].of
                hold = hold_of(name, of.slots)
                yield storage_id, (hold.tag if hold else held_by_any(name, of)) or BEHIND_OTHERS

        waiting = (run.storage_id for run in queued.in_order(name) if run.storage_id not in starting)
        yield from said(waiting, FIRST)
        last = chain.from_iterable(lane.ids[-NEWEST:] for lane in queued.lanes(name))
        newest += said(nlargest(NEWEST, set(last) - starting), NEWEST)
    yield from newest


def _adopted(connection: db.Connection) -> dict[str, str]:
    """The tags that the daemon before this one has written and not removed, by run id."""
    tags, ended = RunTagsTable.c, RunsTable.c.status.not_in([status.value for status in IN_PROGRESS_STATUSES])
    query = db.select(tags.run_id, tags.value).select_from(
        RunTagsTable.join(RunsTable, RunsTable.c.run_id == tags.run_id)
    )
    rows = connection.execute(query.where(tags.key == WAITS_FOR_TAG, ended).limit(ADOPTED)).all()
    return {run_id: value for run_id, value in rows if is_ours(value)}
