"""The daemon's ticks, one after the other: what is read, what the daemon is shown, what is remembered."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from clt_queued_run_coordinator import live
from clt_queued_run_coordinator._dagster import (
    IN_PROGRESS_STATUSES,
    DagsterInstance,
    DagsterRun,
    RunRecord,
    RunsFilter,
    instance_concurrency_settings,
    run_database,
)
from clt_queued_run_coordinator.daemon import acknowledged_pauses, backoff, last_tick
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.daemon.admission import admit
from clt_queued_run_coordinator.daemon.backoff import Backoff
from clt_queued_run_coordinator.daemon.breakers import Breakers
from clt_queued_run_coordinator.daemon.candidates import Candidates, StoppedAt
from clt_queued_run_coordinator.daemon.last_tick import LastTick
from clt_queued_run_coordinator.daemon.outcomes import SinceLastTick
from clt_queued_run_coordinator.daemon.run_tracker import RunTracker
from clt_queued_run_coordinator.daemon.state import DaemonState
from clt_queued_run_coordinator.daemon.tick import Tick
from clt_queued_run_coordinator.limits.settings import Settings
from clt_queued_run_coordinator.limits.tag_limits import other_tag_limits
from clt_queued_run_coordinator.live import LiveChanges
from clt_queued_run_coordinator.queue.dagster_checks import DagsterChecks
from clt_queued_run_coordinator.queue.queued_run import NO_CODE_LOCATION, JobAndBackfill, QueuedRun, is_manual
from clt_queued_run_coordinator.queue.queued_runs import QueuedRuns
from clt_queued_run_coordinator.queue.rows import run_ids
from clt_queued_run_coordinator.shares.backfill_share import BackfillTurns
from clt_queued_run_coordinator.shares.claims import Claims, least, with_groups
from clt_queued_run_coordinator.shares.job_and_backfill_limits import JobAndBackfillLimits, lane_key
from clt_queued_run_coordinator.shares.usage import Usage
from clt_queued_run_coordinator.submit import published_counts
from clt_queued_run_coordinator.submit.published_counts import PublishedCounts
from clt_queued_run_coordinator.tagging.code_location_tag import CLT_TAG_KEY
from clt_queued_run_coordinator.tagging.writing import write_tags

TAGGED_PER_TICK = 500
"""How many queued runs that lack their tag are tagged at each tick, so that a long queue of them doesn't hold it
up."""


Shown = tuple[str, QueuedRun, DagsterRun]
"""A run that the daemon is shown, with its code location and its place in the order."""

MakeChecks = Callable[[DagsterInstance, Sequence[Mapping[str, Any]], Sequence[RunRecord]], DagsterChecks]
"""Makes Dagster's own checks of a tick: `DagsterChecks`, or what checks without writing anything."""


class TickHandler:
    """What the coordinator does at each tick of the daemon.

    Args:
        settings: What the coordinator was configured with.
        log: Where it tells what it does.
    """

    def __init__(self, settings: Settings, log: logging.Logger) -> None:
        self._settings = settings
        self._log = log
        self._queued = QueuedRuns(lane_key(settings.code_location_limits))
        self._stopped_at: StoppedAt = {}
        self._offered: dict[str, list[int]] = {}
        self._backoffs: dict[str, Backoff] = {}
        self._backfills_earned: dict[str, float] = {}
        self._backfill_turns: dict[str, BackfillTurns] = {}
        self._usage = Usage()
        self._stored: DaemonState | None = None
        self._published: PublishedCounts | None = None
        self._logged: dict[str, object] = {}
        self._acknowledged_pauses: set[str] = set()
        self._tracker = RunTracker()
        self.since_last_tick = SinceLastTick()
        """Which runs started and ended, known from the daemon's reading of the runs in progress on."""
        self._breakers = Breakers(settings, log)
        self._live = LiveChanges()
        self._tick_recorded_at: float | None = None

    def begin(self, instance: DagsterInstance) -> Tick:
        """Read the live changes and the queue, and learn what became of the runs that were offered last.

        Whatever the database raises goes through: the tick fails and starts nothing, as Dagster's own would.
        """
        with run_database(instance).connect() as connection:
            self._live = changes = live.read(connection)
            self._queued.refresh(connection, chain.from_iterable(self._offered.values()))
            if self._stored is None:
                self._stored = daemon_state.read(connection)
                self._usage = self._stored.usage
            self._tracker.read(connection)
        if not changes.pause_ids <= self._acknowledged_pauses:
            acknowledged_pauses.write(instance, changes.pause_ids)
            self._acknowledged_pauses = changes.pause_ids
        for line in changes.unreadable:
            self._log_once(line, True, logging.WARNING, line)
        self._backoffs = backoff.after_tick(self._backoffs, self._offered, self._queued)
        self._charge(
            {name: -sum(run in self._queued for run in runs) for name, runs in self._offered.items()}
            if self._stored.narrowed
            else self._queued.departures
        )
        self._offered = {}
        for name, turns in self._backfill_turns.items():
            self._backfills_earned[name] = turns.settled(self._queued)
        self._backfill_turns = {}
        self._publish_counts(instance)
        settings = self._settings.as_replaced_by(instance_concurrency_settings(instance))
        return Tick(settings, changes, self._queued.counts())

    def _publish_counts(self, instance: DagsterInstance) -> None:
        """Leave the number of queued runs to those who submit runs that `max_queued` holds for."""
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

    def enforce_by_tag_limits(self, instance: DagsterInstance, tick: Tick) -> None:
        """Let Dagster read the whole queue: whatever decides what may start is handed to it as tag limits.

        They hold for runs that carry their tag when Dagster reads them, so every queued run is tagged before.
        """
        self._tag(instance, sorted(self._queued.untagged))
        tick.whole = True
        if not tick.has_limits:
            return
        self.observe_in_progress(tick, instance.get_run_records(RunsFilter(statuses=IN_PROGRESS_STATUSES)))
        may_start = tick.may_start(self._usage, self._queued.in_order)
        tick.tighten_tag_limits(may_start)
        self._store(instance, narrowed=False, starts=any(most != 0 for most in may_start.values()))

    def update_outcomes(self, instance: DagsterInstance, records: Sequence[RunRecord], tick: Tick | None) -> None:
        """Learn from the daemon's reading of the runs in progress which runs started and ended since the last.

        Args:
            instance: Whose runs.
            records: The runs in progress.
            tick: The tick, which holds code locations whose circuit breakers open; None where the queue is read as
                a whole.
        """
        self.since_last_tick = self._tracker.update(
            instance, records, self._queued.departed, self._queued, whole=tick is None
        )
        opened = self._breakers.update(instance, self._tracker, self.since_last_tick.ended, self._live)
        self._queued.departed.clear()
        if tick and opened:
            tick.hold(opened)

    def store_outcomes(self, instance: DagsterInstance) -> None:
        """Keep what was learnt, where no runs are offered."""
        self._tracker.store(instance)

    def record_tick(self, instance: DagsterInstance, seconds: float) -> None:
        """Let others see now and then that the queue is read.

        Args:
            instance: Whose queue.
            seconds: How long this package's part of the tick took.
        """
        now = time.monotonic()
        if self._tick_recorded_at is None or now - self._tick_recorded_at >= last_tick.STORE_INTERVAL_SECONDS:
            last_tick.write(instance, LastTick(time.time(), seconds))
            self._tick_recorded_at = now

    def observe_in_progress(self, tick: Tick, records: Sequence[RunRecord]) -> None:
        """Take the reading of the runs in progress, which slots are in use from it on."""
        tick.in_progress = records
        if tick.settings.is_fair:
            half_life = tick.settings.code_location_limits.half_life
            in_progress = with_groups(tick.in_progress_of, tick.settings.code_location_limits.groups)
            used = self._usage.advanced(time.time(), in_progress, half_life)
            self._usage = used.joined_by(tick.competing())

    def preview(
        self,
        instance: DagsterInstance,
        tick: Tick,
        queued: QueuedRuns,
        state: DaemonState,
        new_checks: MakeChecks,
    ) -> list[Shown]:
        """What the next tick would show the daemon, worked out as a tick does; nothing is written.

        What only the daemon's process knows is left out: which code locations are stuck, and where the last tick
        stopped in a queue of runs that are held.

        Args:
            instance: Whose queue.
            tick: With the runs in progress.
            queued: The queue, or what is at the front of it.
            state: What the daemon has stored.
            new_checks: Makes Dagster's own checks.
        """
        self._queued, self._usage = queued, state.usage
        self.observe_in_progress(tick, tick.in_progress or ())
        return self._choose(instance, tick, new_checks)

    def _choose(self, instance: DagsterInstance, tick: Tick, new_checks: MakeChecks) -> list[Shown]:
        """The queued runs that may start, in the order in which the daemon shall try them."""
        tick.manual_queued = {name: self._queued.count(name, is_manual) for name in tick.manual_only}
        claims = tick.claims(self._usage)
        with_room = [name for name in tick.queued if claims.room(name) != 0] if tick.slots != 0 else []
        shown: list[Shown] = []
        if with_room:
            with run_database(instance).connect() as connection:
                in_progress = tick.jobs_and_backfills_in_progress()
                job_limits = JobAndBackfillLimits(
                    tick.settings.code_location_limits, in_progress, tick.manual_only, self._backfills_earned
                )
                self._backfill_turns = job_limits.backfill_turns
                candidates = Candidates(connection, self._queued, self._stopped_at, len(with_room), job_limits)
                checks = new_checks(
                    instance, other_tag_limits(tick.settings.tag_concurrency_limits), tick.in_progress or ()
                )
                for names in self._by_rank(with_room):
                    left = None if tick.slots is None else tick.slots - len(shown)
                    admitted = self._admit(candidates, checks, names, claims, left, fair=tick.is_fair)
                    claims = claims.after(Counter(name for name, _, _ in admitted))
                    shown += admitted
                self._queued.relocate(candidates.misplaced)
        return shown

    def runs_to_dequeue(self, instance: DagsterInstance, tick: Tick) -> list[DagsterRun]:
        """The queued runs that the daemon is shown, in the order in which it shall try them.

        Args:
            instance: Whose queue.
            tick: With the runs in progress.
        """
        shown = self._choose(instance, tick, DagsterChecks)
        runs = self._tagged(instance, shown)
        starts = Counter(name for name, _, _ in shown)
        for name, queued, _ in shown:
            self._offered.setdefault(name, []).append(queued.id)
        tick.tighten_tag_limits(starts)
        if tick.settings.is_fair:
            self._charge(starts)
        self._store(instance, narrowed=True, starts=bool(shown))
        self._tracker.offer(self._offered)
        self._tracker.store(instance)
        self._log_saturation(tick, bool(runs))
        return runs

    def _by_rank(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Those that go first, and those that are stuck and get what the others leave."""
        behind = {name for name, of_it in self._backoffs.items() if of_it.left}
        return [name for name in names if name not in behind], [name for name in names if name in behind]

    def _admit(
        self,
        candidates: Candidates,
        checks: DagsterChecks,
        names: Sequence[str],
        claims: Claims,
        slots: int | None,
        *,
        fair: bool,
    ) -> list[Shown]:
        def starts(name: str, run: QueuedRun) -> bool:
            checks.load_pools(candidates.load_from(name, run))
            body = candidates.body(run)
            if body is None or not candidates.belongs(name, run, body):
                return False
            of_run = JobAndBackfill.of(body)
            if not candidates.job_limits.has_room(name, of_run) or not checks.try_start(body):
                return False
            candidates.job_limits.start(name, run, of_run)
            return True

        # First as if nothing were held, so that one statement loads all runs that are likely to start.
        likely_limits = candidates.job_limits.copy()

        def starts_likely(name: str, run: QueuedRun) -> bool:
            of_run = self._queued.job_and_backfill(run.id)
            if not likely_limits.has_room(name, of_run):
                return False
            likely_limits.start(name, run, of_run)
            return True

        queues = {name: candidates.likely(name, likely_limits) for name in names}
        likely = admit(queues, claims, slots, starts_likely, fair=fair, place=likely_limits.place)
        checks.load_pools(candidates.load(run for _, run in likely))
        queues = {name: candidates.of(name, least(claims.room(name), slots)) for name in names}
        admitted = admit(queues, claims, slots, starts, fair=fair, place=candidates.job_limits.place)
        return [(name, run, candidates.loaded(run)) for name, run in admitted]

    def _charge(self, starts: Mapping[str, int]) -> None:
        self._usage = self._usage.charged(with_groups(starts, self._settings.code_location_limits.groups))

    def _tagged(
        self, instance: DagsterInstance, shown: Sequence[tuple[str, QueuedRun, DagsterRun]]
    ) -> list[DagsterRun]:
        """The runs that are shown, each with its tag: what lacks it is written before the daemon starts it."""
        runs = []
        lacking = {}
        for name, queued, run in shown:
            if name != NO_CODE_LOCATION and (
                queued.id in self._queued.untagged or run.tags.get(CLT_TAG_KEY) != name
            ):
                lacking[run.run_id] = name
                runs.append(run.with_tags({**run.tags, CLT_TAG_KEY: name}))
                self._queued.untagged.discard(queued.id)
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
        """Keep what is needed after a restart, where a start or the way of reading may have changed it."""
        if self._stored is None or self._stored.narrowed != narrowed or (starts and self._settings.is_fair):
            self._stored = DaemonState(narrowed, self._usage)
            daemon_state.write(instance, self._stored)

    def _log_saturation(self, tick: Tick, something_starts: bool) -> None:
        if something_starts or not tick.queued or tick.slots == 0:
            self._logged.pop("saturated", None)
            return
        self._log_once(
            "saturated",
            {name: tick.limit(name) for name in tick.queued},
            logging.INFO,
            f"No queued run can start ({', '.join(tick.saturated())}). {sum(tick.queued.values())} queued,"
            f" {len(tick.in_progress or ())} in progress, max_concurrent_runs"
            f" {tick.settings.max_concurrent_runs}.",
        )

    def _log_once(self, subject: str, state: object, level: int, line: str) -> None:
        """Log a line when what it tells of has changed, not at each tick."""
        if self._logged.get(subject) != state:
            self._logged[subject] = state
            self._log.log(level, line)
