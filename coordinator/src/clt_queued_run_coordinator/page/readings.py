"""What the pages show, each of it read once for everybody."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from clt_queued_run_coordinator._dagster import BACKFILL_ID_TAG, DagsterInstance, DagsterRunStatus, RunRecord
from clt_queued_run_coordinator.config.tag import code_location_of
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.operate import last_hours, status
from clt_queued_run_coordinator.operate import now as at_this_moment
from clt_queued_run_coordinator.operate.explanation import Explanation, explain
from clt_queued_run_coordinator.operate.in_line import InLine, first_in_line
from clt_queued_run_coordinator.operate.last_hours import LastHours
from clt_queued_run_coordinator.operate.now import Now
from clt_queued_run_coordinator.operate.status import Status
from clt_queued_run_coordinator.operate.stored_run import StoredRun, describe_unqueued, find_runs
from clt_queued_run_coordinator.page.shared import Reading, Shared
from clt_queued_run_coordinator.store import history
from clt_queued_run_coordinator.store.history import HistoryEntry
from clt_queued_run_coordinator.store.transaction import reading
from clt_queued_run_coordinator.text.refusal import RefusalError

SHOWN_RUNS = 50
"""The most queued runs, and the most runs in progress, that the page of a code location lists."""

HOURS_INTERVAL = timedelta(minutes=1)
"""How often the charts are read."""

KEPT = 200
"""The number of code locations and runs whose last reading is kept."""

Opened = tuple[DagsterInstance, CLTQueuedRunCoordinator]


@dataclass(frozen=True)
class Queue:
    """The whole queue.

    Attributes:
        hours: The last hours of each code location.
        interval: The time between two ticks of the daemon.
    """

    now: Now
    status: Status
    hours: LastHours
    interval: timedelta


@dataclass(frozen=True)
class CodeLocation:
    """The first runs of one code location, why the first of them doesn't start, and when they will."""

    in_line: Sequence[InLine]
    in_progress: Sequence[RunRecord]
    first: Explanation | None


@dataclass(frozen=True)
class FoundRuns:
    """The runs whose ids begin with a text: of a single one what became of it, or why it is still queued."""

    runs: Sequence[StoredRun]
    explanation: Explanation | None = None
    what: str = ""

    @property
    def backfill(self) -> str | None:
        """The backfill of a single run."""
        return self.runs[0].run.tags.get(BACKFILL_ID_TAG) if self.runs and self.runs[0].run else None


class Readings:
    """All that is read of an instance, which is opened as soon as that succeeds: its database may come later."""

    def __init__(self, open_instance: Callable[[], Opened]) -> None:
        self._open = open_instance
        self._opened: Opened | None = None
        self._lock = threading.Lock()  # held while the instance is read, or its queue in memory
        self._kept_lock = threading.Lock()
        self._order: QueuedRuns | None = None
        self._hours: LastHours | None = None
        self._kept: OrderedDict[tuple[str, str], Shared[Any]] = OrderedDict()
        self._queue = Shared(self._read_queue)
        self._history = Shared(self._read_history)

    def opened(self) -> Opened:
        """The instance and its coordinator."""
        with self._lock:
            return self._open_once()

    def queue(self) -> Reading[Queue]:
        """The whole queue."""
        return self._queue.get()

    def queue_of_now(self) -> Queue:
        """The queue as it is now, for whoever changes something by it.

        Raises:
            RefusalError: It can't be read.
        """
        self._queue.outdate()
        found = self._queue.get()
        if found.value is None or found.error:
            raise RefusalError(f"Nothing was changed, because the database can't be read: {found.error}")
        return found.value

    def history(self) -> Reading[list[HistoryEntry]]:
        """The changes that are kept, the newest first."""
        return self._history.get()

    def code_location(self, name: str) -> Reading[CodeLocation]:
        """One code location."""
        return self._shared("code location", name, self._read_code_location).get()

    def run(self, run_id: str) -> Reading[FoundRuns]:
        """A run by its id, or the runs whose ids begin with it."""
        return self._shared("run", run_id, self._read_run).get()

    def outdate(self) -> None:
        """Show nobody what was read before this moment, because something was changed."""
        with self._kept_lock:
            kept = list(self._kept.values())
        of_all: list[Shared[Any]] = [self._queue, self._history, *kept]
        for shared in of_all:
            shared.outdate()

    def _shared(self, kind: str, name: str, read: Callable[[str], Any]) -> Shared[Any]:
        with self._kept_lock:
            shared = self._kept.setdefault((kind, name), Shared(lambda: read(name)))
            self._kept.move_to_end((kind, name))
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return shared

    def _open_once(self) -> Opened:
        if self._opened is None:
            instance, coordinator = self._open()
            # As the webserver does it: connections stay open, and no statement takes for ever.
            instance.optimize_for_webserver(statement_timeout=30_000, pool_recycle=3600, max_overflow=4)
            self._order = QueuedRuns(coordinator.settings.code_location_limits)
            self._opened = instance, coordinator
        return self._opened

    def _read_queue(self) -> Queue:
        with self._lock:
            instance, coordinator = self._open_once()
            now = at_this_moment.read(instance, coordinator.settings, self._order)
            if self._hours is None or now.at - self._hours.until >= HOURS_INTERVAL:
                assert self._order is not None  # noqa: S101 - made with the instance
                with reading(instance) as connection:
                    self._hours = last_hours.read(connection, now.at, self._order.code_locations())
        interval = timedelta(seconds=coordinator.dequeue_interval_seconds)
        return Queue(now, status.read(instance, now), self._hours, interval)

    def _read_code_location(self, name: str) -> CodeLocation:
        found = self.queue()
        if found.value is None or found.error:
            raise RuntimeError(found.error)
        state = found.value.now.state
        of_it = [record for record in state.in_progress if code_location_of(record.dagster_run) == name]
        with self._lock:
            instance, coordinator = self._open_once()
            assert self._order is not None  # noqa: S101 - made with the instance
            in_line = first_in_line(instance, self._order, state, name, SHOWN_RUNS)
            stored = find_runs(instance, in_line[0].run_id) if in_line else []
            is_first = len(stored) == 1 and stored[0].run and stored[0].status is DagsterRunStatus.QUEUED
            others = [run.storage_id for run in in_line[1:]]
            first = explain(instance, coordinator, stored[0], self._order, others) if is_first else None
        return CodeLocation(in_line, sorted(of_it, key=lambda record: record.storage_id), first)

    def _read_run(self, run_id: str) -> FoundRuns:
        with self._lock:
            instance, coordinator = self._open_once()
            runs = find_runs(instance, run_id)
            if len(runs) != 1:
                return FoundRuns(runs)
            (stored,) = runs
            if stored.status is DagsterRunStatus.QUEUED and stored.run:
                explanation = explain(instance, coordinator, stored, self._order)
                if explanation:
                    return FoundRuns(runs, explanation)
                runs = find_runs(instance, stored.run_id)  # it left the queue just now
        at = self.queue().value
        return FoundRuns(runs, None, describe_unqueued(runs[0], at.now.at) if runs and at else "")

    def _read_history(self) -> list[HistoryEntry]:
        instance, _ = self.opened()
        with reading(instance) as connection:
            return history.read(connection)
