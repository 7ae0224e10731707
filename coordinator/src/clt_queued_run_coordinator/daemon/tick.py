"""One tick of the daemon, from top to bottom: what the coordinator does when the daemon asks.

1. `begin`: the daemon asks for the configuration. The live changes and the queue are read, and what became of the
   runs that were offered at the last tick is learned. The daemon gets the limits in force as tag limits.
2. `runs_in_progress`: the daemon has read the runs in progress. What has started and ended is counted, circuit
   breakers open, and the credit of everybody is brought forward to now. Without a free slot the tick ends here.
3. `runs_to_dequeue`: the daemon asks for the queue. The runs that may start are chosen, tagged where they lack
   their tag, and offered; the tag limits are tightened to exactly these.

A tick that fails changes nothing of how the next one works: what is remembered is changed last.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from clt_queued_run_coordinator._dagster import (
    DagsterInstance,
    DagsterRun,
    RunRecord,
    instance_concurrency_settings,
    run_database,
)
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY
from clt_queued_run_coordinator.daemon import acknowledged_pauses
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.daemon.accounting import Accounting
from clt_queued_run_coordinator.daemon.manual_launches import ManualLaunches
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.daemon.readers import Presence
from clt_queued_run_coordinator.daemon.selection import LOOK_SECONDS, SelectedRun, Selection
from clt_queued_run_coordinator.daemon.state import (
    LAUNCHING_NAMED,
    STORE_INTERVAL_SECONDS,
    DaemonState,
    LastTick,
    Launching,
)
from clt_queued_run_coordinator.policy import backoff
from clt_queued_run_coordinator.policy.backfill_share import BackfillTurns
from clt_queued_run_coordinator.policy.backoff import Backoff
from clt_queued_run_coordinator.policy.credit import Ledger
from clt_queued_run_coordinator.policy.job_and_backfill_limits import lane_key
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.rows import run_ids
from clt_queued_run_coordinator.store.tag_writing import write_tags

TAGGED_PER_TICK = 500
"""The most queued runs without their tag that a tick tags, so that a long queue of them doesn't hold it up."""


@dataclass
class _Offered:
    """What was offered to the daemon at the last tick, and what has been learned of offers before.

    Attributes:
        runs: The storage's ids of the offered runs, by code location.
        turns: The turns of backfills that the offer took, by code location.
        came_back: How many runs of each code location were offered and did not start.
        backoffs: The code locations whose runs didn't start; see `backoff`.
        earned: What the backfills of each code location have earned of their share.
    """

    runs: dict[str, list[int]] = field(default_factory=dict)
    turns: dict[str, BackfillTurns] = field(default_factory=dict)
    came_back: dict[str, int] = field(default_factory=dict)
    backoffs: dict[str, Backoff] = field(default_factory=dict)
    earned: dict[str, float] = field(default_factory=dict)

    def learn(self, queued: QueuedRuns) -> None:
        """Learn which of the offered runs did not start: those that are still queued."""
        came_back = {name: sum(run in queued for run in runs) for name, runs in self.runs.items()}
        self.came_back = {name: runs for name, runs in came_back.items() if runs}
        self.backoffs = backoff.after_tick(self.backoffs, self.runs, queued)
        self.earned.update((name, turns.settled(queued)) for name, turns in self.turns.items())
        self.runs, self.turns = {}, {}


class Ticks:
    """The coordinator's part of the daemon's ticks, and what it remembers from one to the next.

    Args:
        settings: The settings that the coordinator was configured with.
        log: Receives what operators should know.
    """

    def __init__(self, settings: Settings, log: logging.Logger) -> None:
        self._settings = settings
        self._log = log
        self._logged: dict[str, object] = {}
        self._queued = QueuedRuns(lane_key(settings.code_location_limits))
        self._manual_launches = ManualLaunches()
        self._accounting = Accounting(settings, log)
        self._ledger = Ledger()
        self._offered = _Offered()
        self._looked_at = 0.0
        self._presence = Presence()
        self._acknowledged_pauses: set[str] = set()
        self._stored: DaemonState | None = None
        self._stored_at = 0.0
        self._seconds = 0.0
        self._state: QueueState | None = None
        self._tag_limits: list[dict[str, Any]] = []

    def begin(self, instance: DagsterInstance) -> list[dict[str, Any]]:
        """Begin a tick.

        Errors of the database are not caught. The tick fails and starts nothing, as Dagster's own would.

        Returns:
            The limits in force as tag limits. The daemon looks at the list after it has read the queue, so what is
            known by then is written into this very list.
        """
        self._state, self._seconds = None, 0.0
        with self._measured():
            with run_database(instance).connect() as connection:
                changes = live.read(connection)
                self._queued.refresh(connection, changes.read_at, chain.from_iterable(self._offered.runs.values()))
                if self._stored is None:
                    self._stored = daemon_state.read(connection)
                    self._ledger.credit = self._stored.credit
                    self._accounting.restore(self._stored)
            if not changes.pause_ids <= self._acknowledged_pauses:
                acknowledged_pauses.write(instance, changes.pause_ids)
                self._acknowledged_pauses = changes.pause_ids
            for line in changes.unreadable:
                self._log_once(line, True, logging.WARNING, line)
            self._offered.learn(self._queued)
            self._tag_untagged(instance)
            settings = self._settings.as_replaced_by(instance_concurrency_settings(instance))
            self._state = QueueState(settings, changes, self._queued.counts())
            self._tag_limits = self._state.tag_limits()
            return self._tag_limits

    def runs_in_progress(self, instance: DagsterInstance, records: Sequence[RunRecord]) -> None:
        """Take over the runs in progress, which the daemon has just read.

        Args:
            instance: The instance.
            records: The runs in progress.
        """
        if self._state is None:
            return
        with self._measured():
            state = replace(self._state, in_progress=records)
            state = self._account(instance, state)
            if state.settings.is_fair:
                state = self._with_credit(instance, state)
            self._tag_limits[:] = state.tag_limits()
            # Without a free slot the daemon won't ask for the queue; without any limit Dagster reads it itself.
            self._state = state if state.has_limits and state.free_slots != 0 else None
        if self._state is None:
            self._store(instance, narrowed=True)

    def runs_to_dequeue(self, instance: DagsterInstance) -> list[DagsterRun] | None:
        """The queued runs that may start, in the order in which the daemon should try them.

        Args:
            instance: The instance.

        Returns:
            None if Dagster is to read the queue itself, because there is nothing to limit.

        Raises:
            IncompatibleDagsterError: The installed Dagster counts pools differently from the versions we know.
        """
        if self._state is None:
            return None
        with self._measured():
            state = self._state
            with run_database(instance).connect() as connection:
                state = self._manual_launches.pass_breakers(connection, self._queued, state)
            selection = self._selection()
            selected = selection.choose(instance, state)
            self._looked_at = time.time()
            runs = self._tagged(instance, selected)
            starts = Counter(run.code_location for run in selected)
            self._tag_limits[:] = state.tag_limits(starts)
            for run in selected:
                self._offered.runs.setdefault(run.code_location, []).append(run.queued.storage_id)
            self._offered.turns = selection.backfill_turns
            self._accounting.offer(self._offered.runs)
            if state.settings.is_fair:
                self._ledger.record(state.claims, state.slots, starts, selection.blocked)
            self._log_saturation(state, bool(runs))
        self._store(instance, narrowed=True, runs=runs)
        return runs

    def left_to_dagster(self, instance: DagsterInstance) -> None:
        """Dagster reads its whole queue in this tick; the limits in force apply as plain tag limits."""
        self._state = None
        self._store(instance, narrowed=False)

    def _account(self, instance: DagsterInstance, state: QueueState) -> QueueState:
        """Count what has started and ended; returns the state in which breakers that open hold their runs.

        Whatever fails here is told, and the tick goes on: counting must not keep runs from starting.
        """
        try:
            opened = self._accounting.update(instance, state.in_progress, self._queued, state.live)
        except Exception as error:  # noqa: BLE001 - as the docstring says
            what = f"{type(error).__name__}: {error}"
            self._log_once("accounting", what, logging.WARNING, f"Starts and ends were not counted: {what}")
            return state
        self._logged.pop("accounting", None)
        return replace(state, live=replace(state.live, breakers={**state.live.breakers, **opened}))

    def _with_credit(self, instance: DagsterInstance, state: QueueState) -> QueueState:
        """The state with the credit by now; while no slot is free, who could start is looked up now and then."""
        now, blocked = time.time(), None
        credit = self._ledger.settle(now, self._offered.came_back, state.settings.code_location_limits.half_life)
        if state.free_slots == 0 and not 0 <= now - self._looked_at < LOOK_SECONDS:
            selection = self._selection()
            selection.choose(instance, state)
            blocked, self._looked_at = selection.blocked, now
        self._ledger.record(state.claims, state.slots, {}, blocked)
        return replace(state, credit=credit)

    def _selection(self) -> Selection:
        backing_off = {name for name, backing in self._offered.backoffs.items() if backing.left}
        return Selection(self._queued, backing_off=backing_off, backfills_earned=self._offered.earned)

    def _tagged(self, instance: DagsterInstance, selected: Sequence[SelectedRun]) -> list[DagsterRun]:
        """The selected runs with their tags. A missing tag is written before the daemon starts the run."""
        runs, lacking = [], {}
        for name, queued, run in selected:
            is_tagged = queued.storage_id not in self._queued.untagged and run.tags.get(CLT_TAG_KEY) == name
            if is_tagged or name == NO_CODE_LOCATION:
                runs.append(run)
                continue
            lacking[run.run_id] = name
            runs.append(run.with_tags({**run.tags, CLT_TAG_KEY: name}))
        write_tags(instance, lacking)
        self._queued.untagged.difference_update(run.queued.storage_id for run in selected)
        return runs

    def _tag_untagged(self, instance: DagsterInstance) -> None:
        """Tag some of the queued runs that another coordinator or an old webserver left untagged."""
        untagged = sorted(self._queued.untagged)[:TAGGED_PER_TICK]
        if not untagged:
            return
        self._log.info(
            "Tagging %d of %d queued runs that were queued without their code location.",
            len(untagged),
            len(self._queued.untagged),
        )
        with run_database(instance).connect() as connection:
            ids = run_ids(connection, untagged)
        write_tags(instance, {run_id: self._queued.code_location(number) for number, run_id in ids.items()})
        self._queued.untagged.difference_update(untagged)

    def _store(self, instance: DagsterInstance, *, narrowed: bool, runs: Sequence[DagsterRun] = ()) -> None:
        """Store what a restarted daemon needs and others look at: if runs are handed over, and every few seconds.

        Args:
            instance: The instance.
            narrowed: Whether the daemon is shown only the runs that may start.
            runs: The runs that are handed over to be launched.
        """
        now = time.monotonic()
        changed = self._stored is None or self._stored.narrowed is not narrowed or bool(runs)
        if not changed and now - self._stored_at < STORE_INTERVAL_SECONDS:
            return
        first = tuple(run.run_id for run in runs[:LAUNCHING_NAMED])
        state = DaemonState(
            narrowed=narrowed,
            credit=self._ledger.credit,
            last_tick=LastTick(time.time(), self._seconds),
            launching=Launching(time.time(), first) if first else None,
            **self._accounting.as_data(),
        )
        try:
            daemon_state.write(instance, state)
            self._presence.tell(instance)
        except Exception as error:  # noqa: BLE001 - as in _account
            what = f"{type(error).__name__}: {error}"
            self._log_once("store", what, logging.WARNING, f"The daemon's state could not be stored: {what}")
            return
        self._logged.pop("store", None)
        self._stored, self._stored_at = state, now

    @contextmanager
    def _measured(self) -> Iterator[None]:
        """Add the elapsed time to this package's part of the tick."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += time.perf_counter() - began

    def _log_saturation(self, state: QueueState, something_starts: bool) -> None:
        if something_starts or not state.queued:
            self._logged.pop("saturated", None)
            return
        self._log_once(
            "saturated",
            {name: state.limit(name) for name in state.queued},
            logging.INFO,
            f"No queued run can start ({', '.join(state.saturated())}). {sum(state.queued.values())} queued,"
            f" {len(state.in_progress)} in progress, max_concurrent_runs"
            f" {state.settings.max_concurrent_runs}.",
        )

    def _log_once(self, subject: str, state: object, level: int, line: str) -> None:
        """Log a line once per change of the state that it describes, not at each tick."""
        if self._logged.get(subject) != state:
            self._logged[subject] = state
            self._log.log(level, "%s", line)
