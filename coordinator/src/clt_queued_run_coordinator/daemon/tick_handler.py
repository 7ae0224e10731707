"""Handles the daemon's ticks, and remembers what one tick needs of the ones before."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
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
from clt_queued_run_coordinator.daemon import acknowledged_pauses, last_tick
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.daemon.breakers import Breakers
from clt_queued_run_coordinator.daemon.last_tick import LastTick
from clt_queued_run_coordinator.daemon.manual_launches import ManualLaunches
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.daemon.readers import Presence
from clt_queued_run_coordinator.daemon.run_tracker import RunTracker
from clt_queued_run_coordinator.daemon.selection import LOOK_SECONDS, SelectedRun, Selection
from clt_queued_run_coordinator.daemon.state import DaemonState
from clt_queued_run_coordinator.policy import backoff
from clt_queued_run_coordinator.policy.backfill_share import BackfillTurns
from clt_queued_run_coordinator.policy.backoff import Backoff
from clt_queued_run_coordinator.policy.credit import Ledger
from clt_queued_run_coordinator.policy.job_and_backfill_limits import lane_key
from clt_queued_run_coordinator.policy.outcomes import SinceLastTick
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.live import LiveChanges
from clt_queued_run_coordinator.store.rows import run_ids
from clt_queued_run_coordinator.store.tag_writing import write_tags
from clt_queued_run_coordinator.submit import published_counts
from clt_queued_run_coordinator.submit.published_counts import PublishedCounts

TAGGED_PER_TICK = 500
"""The most queued runs without their tag that a tick tags, so that a long queue of them doesn't hold it up."""


class TickHandler:
    """Does the coordinator's part of each of the daemon's ticks.

    Args:
        settings: The settings that the coordinator was configured with.
        log: Receives what operators should know.
    """

    def __init__(self, settings: Settings, log: logging.Logger) -> None:
        self._settings = settings
        self._log = log
        self._queued = QueuedRuns(lane_key(settings.code_location_limits))
        self._offered: dict[str, list[int]] = {}
        self._backoffs: dict[str, Backoff] = {}
        self._backfills_earned: dict[str, float] = {}
        self._backfill_turns: dict[str, BackfillTurns] = {}
        self._ledger = Ledger()
        self._came_back: dict[str, int] = {}
        self._looked_at = 0.0
        self._stored: DaemonState | None = None
        self._published: PublishedCounts | None = None
        self._logged: dict[str, object] = {}
        self._acknowledged_pauses: set[str] = set()
        self._tracker = RunTracker()
        self._manual_launches = ManualLaunches()
        self.since_last_tick = SinceLastTick()
        """The runs that started and ended; known once the daemon has read the runs in progress."""
        self._breakers = Breakers(settings, log)
        self._live = LiveChanges()
        self._tick_recorded_at: float | None = None
        self._presence = Presence()

    def begin(self, instance: DagsterInstance) -> QueueState:
        """Read the live changes and the queue, and find out which of the runs offered last have started.

        Errors of the database are not caught. The tick fails and starts nothing, as Dagster's own would.
        """
        with run_database(instance).connect() as connection:
            self._live = changes = live.read(connection)
            self._queued.refresh(connection, chain.from_iterable(self._offered.values()))
            if self._stored is None:
                self._stored = daemon_state.read(connection)
                self._ledger.credit = self._stored.credit
            self._tracker.read(connection)
        if not changes.pause_ids <= self._acknowledged_pauses:
            acknowledged_pauses.write(instance, changes.pause_ids)
            self._acknowledged_pauses = changes.pause_ids
        for line in changes.unreadable:
            self._log_once(line, True, logging.WARNING, line)
        self._backoffs = backoff.after_tick(self._backoffs, self._offered, self._queued)
        came_back = {name: sum(run in self._queued for run in runs) for name, runs in self._offered.items()}
        self._came_back = {name: runs for name, runs in came_back.items() if runs}
        self._offered = {}
        for name, turns in self._backfill_turns.items():
            self._backfills_earned[name] = turns.settled(self._queued)
        self._backfill_turns = {}
        self._publish_counts(instance)
        settings = self._settings.as_replaced_by(instance_concurrency_settings(instance))
        return QueueState(settings, changes, self._queued.counts())

    def _publish_counts(self, instance: DagsterInstance) -> None:
        """Publish the queue's counts for submits to code locations with a `max_queued`."""
        limits = self._settings.code_location_limits
        newest = self._queued.newest
        if not limits.has_queue_limits or newest is None:
            return
        counts = PublishedCounts(
            newest,
            {
                name: queued
                for name, queued in self._queued.counts().items()
                if limits.entry(name).max_queued is not None
            },
        )
        if counts != self._published:
            published_counts.publish(instance, counts)
            self._published = counts

    def tag_untagged(self, instance: DagsterInstance) -> None:
        """Tag some of the queued runs that another coordinator or an old webserver left untagged."""
        self._tag(instance, sorted(self._queued.untagged)[:TAGGED_PER_TICK])

    def update_outcomes(
        self, instance: DagsterInstance, records: Sequence[RunRecord], state: QueueState, *, narrowed: bool
    ) -> QueueState:
        """Find out from the daemon's reading of the runs in progress which runs started and ended.

        Args:
            instance: The instance.
            records: The runs in progress.
            state: The queue at this moment.
            narrowed: Whether the daemon is shown only the runs that may start.

        Returns:
            The state in which the code locations whose circuit breakers have opened are held.
        """
        self.since_last_tick = self._tracker.update(
            instance, records, self._queued.departed, self._queued, whole=not narrowed
        )
        opened = self._breakers.update(instance, self._tracker, self.since_last_tick.ended, self._live)
        self._queued.departed.clear()
        live = replace(state.live, breakers={**state.live.breakers, **opened})
        return replace(state, live=live, in_progress=records)

    def store_outcomes(self, instance: DagsterInstance) -> None:
        """Store the outcomes in a tick that offers no runs."""
        self._tracker.store(instance)

    def record_tick(self, instance: DagsterInstance, seconds: float) -> None:
        """Record for others, every few seconds, that the daemon reads the queue.

        Args:
            instance: The instance.
            seconds: How long this package's part of the tick took.
        """
        now = time.monotonic()
        if self._tick_recorded_at is None or now - self._tick_recorded_at >= last_tick.STORE_INTERVAL_SECONDS:
            last_tick.write(instance, LastTick(time.time(), seconds))
            self._presence.tell(instance)
            self._tick_recorded_at = now

    def with_credit(self, instance: DagsterInstance, state: QueueState) -> QueueState:
        """The state with the credit by now."""
        if not state.settings.is_fair:
            return state
        half_life = state.settings.code_location_limits.half_life
        now = time.time()
        credit = self._ledger.settle(now, self._came_back, half_life)
        blocked = None
        if state.free_slots == 0 and not 0 <= now - self._looked_at < LOOK_SECONDS:
            selection = self._selection()
            selection.choose(instance, state)
            blocked, self._looked_at = selection.blocked, now
        self._ledger.record(state.claims, state.slots, {}, blocked)
        return replace(state, credit=credit)

    def _selection(self) -> Selection:
        return Selection(
            self._queued,
            backing_off={name for name, of_it in self._backoffs.items() if of_it.left},
            backfills_earned=self._backfills_earned,
        )

    def runs_to_dequeue(
        self, instance: DagsterInstance, state: QueueState, tag_limits: list[dict[str, Any]]
    ) -> list[DagsterRun]:
        """The queued runs that the daemon is shown, in the order in which it should try them.

        Args:
            instance: The instance.
            state: The queue at this moment.
            tag_limits: The tag limits that the daemon got; it looks at them after it has read the queue.
        """
        with run_database(instance).connect() as connection:
            state = self._manual_launches.pass_breakers(connection, self._queued, state)
        selection = self._selection()
        selected = selection.choose(instance, state)
        self._looked_at = time.time()
        self._backfill_turns = selection.backfill_turns
        runs = self._tagged(instance, selected)
        starts = Counter(run.code_location for run in selected)
        for name, queued, _ in selected:
            self._offered.setdefault(name, []).append(queued.storage_id)
        tag_limits[:] = state.tag_limits(starts)
        if state.settings.is_fair:
            self._ledger.record(state.claims, state.slots, starts, selection.blocked)
        self._store(instance, narrowed=True, starts=bool(selected))
        self._tracker.offer(self._offered)
        self._tracker.store(instance)
        self._log_saturation(state, bool(runs))
        return runs

    def _tagged(self, instance: DagsterInstance, selected: Sequence[SelectedRun]) -> list[DagsterRun]:
        """The selected runs with their tags. A missing tag is written before the daemon starts the run."""
        runs = []
        lacking = {}
        for name, queued, run in selected:
            if name != NO_CODE_LOCATION and (
                queued.storage_id in self._queued.untagged or run.tags.get(CLT_TAG_KEY) != name
            ):
                lacking[run.run_id] = name
                runs.append(run.with_tags({**run.tags, CLT_TAG_KEY: name}))
                self._queued.untagged.discard(queued.storage_id)
            else:
                runs.append(run)
        write_tags(instance, lacking)
        return runs

    def _tag(self, instance: DagsterInstance, queued: Sequence[int]) -> None:
        if not queued:
            return
        self._log.info(
            "Tagging %d of %d queued runs that were queued without their code location.",
            len(queued),
            len(self._queued.untagged),
        )
        with run_database(instance).connect() as connection:
            ids = run_ids(connection, queued)
        write_tags(
            instance, {ids[number]: self._queued.code_location(number) for number in queued if number in ids}
        )
        self._queued.untagged.difference_update(queued)

    def _store(self, instance: DagsterInstance, *, narrowed: bool, starts: bool) -> None:
        """Store what a restarted daemon needs, if a start or the way of reading may have changed it."""
        if self._stored is None or self._stored.narrowed != narrowed or (starts and self._settings.is_fair):
            self._stored = DaemonState(narrowed, self._ledger.credit)
            daemon_state.write(instance, self._stored)

    def _log_saturation(self, state: QueueState, something_starts: bool) -> None:
        if something_starts or not state.queued or state.free_slots == 0:
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
            self._log.log(level, line)
