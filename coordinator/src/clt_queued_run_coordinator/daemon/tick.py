"""A tick of the daemon, from top to bottom.

1. `begin`: read the live changes and what has changed in the queue. The daemon gets the limits in force.
2. `see_in_progress`: the daemon reads the runs in progress; count what has started and ended, open circuit
   breakers, and settle the credit. If no slot is free, the tick ends here.
3. `offer`: choose the runs that may start, tag those that lack their tag, tighten the tag limits to exactly these
   runs, and hand them to the daemon.
4. `record`: store for others, and for a restarted daemon, what is known now. Say in their tags what runs wait for.

A tick that fails starts nothing and changes nothing of how the next one works. What only counts, tells or stores
never ends a tick.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

from clt_queued_run_coordinator._dagster import (
    DagsterInstance,
    DagsterRun,
    IncompatibleDagsterError,
    RunRecord,
    instance_concurrency_settings,
    run_database,
)
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.daemon import acknowledged_pauses
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.daemon.accounting import Accounting
from clt_queued_run_coordinator.daemon.dagster_checks import DagsterChecks
from clt_queued_run_coordinator.daemon.manual_launches import pass_breakers
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.daemon.selection import LOOK_SECONDS, NOTHING, SelectedRun, Selection, select
from clt_queued_run_coordinator.daemon.state import LAUNCHING_NAMED, DaemonState, Launching
from clt_queued_run_coordinator.daemon.waits_for import WaitsFor
from clt_queued_run_coordinator.policy import backoff
from clt_queued_run_coordinator.policy.backfill_share import BackfillTurns
from clt_queued_run_coordinator.policy.credit import Ledger
from clt_queued_run_coordinator.policy.holds import WAITS_FOR_TAG, is_ours
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.code_location import missing_tags, own_tags
from clt_queued_run_coordinator.store.rows import run_ids
from clt_queued_run_coordinator.store.tag_writing import write_tags
from clt_queued_run_coordinator.store.transaction import reading

TAGGED_PER_TICK = 500
"""The most queued runs without their tag that a tick tags, so that a long queue of them doesn't hold it up."""

Result = TypeVar("Result")


class Ticks:
    """The coordinator's part of the daemon's ticks on one instance."""

    def __init__(self, settings: Settings, log: logging.Logger) -> None:
        self._settings = settings
        self._log = log
        self._logged: dict[str, object] = {}
        self._acknowledged: set[str] = set()
        self._began = 0.0
        self._queued = QueuedRuns(settings.code_location_limits)
        self._accounting = Accounting(settings.code_location_limits, log)
        self._ledger = Ledger()
        self._stored: DaemonState | None = None
        """What was stored last; None before the first tick."""
        self._offered: dict[str, list[int]] = {}
        """The storage's ids of the runs that were offered last, by code location."""
        self._came_back: dict[str, int] = {}
        """How many slots those take that the tick before offered and that were still queued."""
        self._passed: dict[int, float] = {}
        """When each queued run was first passed because it is too large, by the storage's id and the database's
        clock, in seconds since 1970."""
        self._backoffs: dict[str, backoff.Backoff] = {}
        """The code locations whose offered runs did not start."""
        self._backfills_earned: dict[str, float] = {}
        """What the backfills of each code location have earned of their share."""
        self._backfill_turns: Mapping[str, BackfillTurns] = {}
        """The turns that they took at the last tick."""
        self._waits_for = WaitsFor()
        self._selection = NOTHING
        """What this tick has chosen, if it came to that."""
        self._looked_at = 0.0
        """When it was last looked at who could start a run, in seconds since 1970."""
        self.hanging: Mapping[str, str] = {}
        """The code locations of the runs whose launch has had no answer for long, by the runs' ids."""
        self.state = QueueState(settings)
        """The queue at this moment of the tick."""
        self.tag_limits: list[dict[str, Any]] = []
        """The tag limits that the daemon got. It looks at them only after it has read the queue, so whatever is
        known by then is written into this very list."""

    def begin(self, instance: DagsterInstance) -> None:
        """Read the live changes and the queue, and find out which of the runs offered last have started.

        Errors of the database are not caught. The tick fails and starts nothing, as Dagster's own would.
        """
        self._began, self._selection = time.time(), NOTHING
        with reading(instance) as connection:
            if self._stored is None:
                self._stored = daemon_state.read(connection)
                self._ledger.credit = self._stored.credit
                self._accounting.restore(self._stored)
                self._passed = dict(self._stored.passed)
            changes = live.read(connection)
            self._queued.refresh(connection, changes.read_at, chain.from_iterable(self._offered.values()))
        self._settle_offers()
        for line in changes.unreadable:
            self._log_once(line, True, logging.WARNING, line)
        self._try("Acknowledging pauses", lambda: self._acknowledge(instance, changes.pause_ids))
        if self._stored.narrowed is False:
            self.tag_untagged(instance)  # tag limits, which see only tagged runs, are the only guard
        else:
            self._try("Tagging queued runs", lambda: self.tag_untagged(instance, TAGGED_PER_TICK))
        settings = self._settings.as_replaced_by(instance_concurrency_settings(instance))
        now = changes.read_at.timestamp()  # the clock may have been put back
        self._passed = {run: min(since, now) for run, since in self._passed.items() if run in self._queued}
        self.state = QueueState(
            settings,
            changes,
            self._queued.counts(),
            credit=self._ledger.credit,
            queued_slots=self._queued.slots(),
            passed=self._passed,
        )
        self.tag_limits = self.state.tag_limits()

    def _acknowledge(self, instance: DagsterInstance, pauses: set[str]) -> None:
        if not pauses <= self._acknowledged:
            acknowledged_pauses.write(instance, pauses)
            self._acknowledged = pauses

    def _settle_offers(self) -> None:
        """Find out which of the runs offered last have started: those that have left the queue."""
        self._backoffs = backoff.after_tick(self._backoffs, self._offered, self._queued)
        came_back = {name: self._queued.slots_of(runs) for name, runs in self._offered.items()}
        self._came_back = {name: slots for name, slots in came_back.items() if slots}
        for name, turns in self._backfill_turns.items():
            self._backfills_earned[name] = turns.settled(self._queued)
        self._offered, self._backfill_turns = {}, {}

    def see_in_progress(self, instance: DagsterInstance, records: Sequence[RunRecord]) -> None:
        """Take over the runs in progress, and hold the code locations whose circuit breakers open."""
        accounting = self._accounting
        self.state = replace(self.state, in_progress=records)
        self._try("Counting runs", lambda: accounting.count(instance, records, self._queued))
        opened = self._try("Opening breakers", lambda: accounting.open_breakers(instance, self.state.live))
        if opened:
            changes = self.state.live
            self.state = replace(self.state, live=replace(changes, breakers={**changes.breakers, **opened}))
            self.tag_limits[:] = self.state.tag_limits()
        passed = self._try("Finding manual launches", lambda: pass_breakers(instance, self._queued, self.state))
        self.state = passed or self.state
        self._try("Settling credit", lambda: self._settle_credit(instance))

    def _settle_credit(self, instance: DagsterInstance) -> None:
        """Settle the credit. While no slot is free, look now and then who could start a run: only those earn."""
        state = self.state
        if not state.settings.is_fair:
            return
        now = time.time()
        credit = self._ledger.settle(now, self._came_back, state.settings.code_location_limits.sharing.half_life)
        blocked = None
        if state.free_slots == 0 and not 0 <= now - self._looked_at < LOOK_SECONDS:
            with suppress(IncompatibleDagsterError):  # which is told when the daemon asks for the queue
                blocked = self._select(instance).blocked
            self._looked_at = now
        self._ledger.record(state.claims, state.slots, {}, blocked)
        self.state = replace(state, credit=credit)

    def _select(self, instance: DagsterInstance) -> Selection:
        return select(
            instance,
            self._queued,
            self.state,
            DagsterChecks(instance, self.state),
            backing_off={name for name, backing_off in self._backoffs.items() if backing_off.left},
            hanging={*self.hanging.values()},
            backfills_earned=self._backfills_earned,
        )

    def offer(self, instance: DagsterInstance) -> list[DagsterRun]:
        """The queued runs that the daemon is shown, in the order in which it should try them."""
        state = self.state
        selection = self._selection = self._select(instance)
        self._looked_at = time.time()
        self._backfill_turns = selection.backfill_turns
        runs = self._tagged(instance, selection.runs)
        starts = Counter(run.code_location for run in selection.runs)
        for name, queued, _ in selection.runs:
            self._offered.setdefault(name, []).append(queued.storage_id)
        for queued in selection.passed.values():
            self._passed.setdefault(queued.storage_id, state.live.read_at.timestamp())
        self.tag_limits[:] = state.tag_limits(starts)
        if state.settings.is_fair:
            slots = {name: self._queued.slots_of(runs) for name, runs in self._offered.items()}
            self._ledger.record(state.claims, state.slots, slots, selection.blocked)
        self._accounting.offer(self._offered)
        self._log_tick(starts)
        return runs

    def _tagged(self, instance: DagsterInstance, selected: Sequence[SelectedRun]) -> list[DagsterRun]:
        """The selected runs with their tags. A missing tag is written before the daemon starts the run."""
        runs, lacking = [], []
        untagged = self._queued.untagged
        for name, queued, run in selected:
            tags = {key: value for key, value in run.tags.items() if key != WAITS_FOR_TAG or not is_ours(value)}
            is_untagged = queued.storage_id in untagged or missing_tags(run)
            says = len(tags) < len(run.tags) or self._waits_for.has_written(run.run_id)
            if name != NO_CODE_LOCATION and (is_untagged or says):
                lacking.append(run.run_id)
                run = run.with_tags({**tags, **own_tags(run)})  # noqa: PLW2901 - the run with its tags
            runs.append(run)
        write_tags(instance, lacking)
        untagged.difference_update(queued.storage_id for _, queued, _ in selected)
        self._waits_for.forget(lacking)
        return runs

    def tag_untagged(self, instance: DagsterInstance, most: int | None = None) -> None:
        """Tag queued runs that came past this coordinator, or lost their tag.

        A daemon that reads the whole queue needs all of them tagged.
        """
        untagged = self._queued.untagged
        some = sorted(untagged)[:most]
        if some:
            line = "Tagging %d of %d queued runs that were queued without their code location."
            self._log.info(line, len(some), len(untagged))
            with run_database(instance).connect() as connection:
                ids = run_ids(connection, some)
            write_tags(instance, ids.values())
            untagged.difference_update(some)

    def record(
        self,
        instance: DagsterInstance,
        seconds: float,
        runs: Sequence[DagsterRun] = (),
        *,
        narrowed: bool | None = None,
    ) -> None:
        """Store what is known now: every few seconds, and when it matters.

        It matters when runs are handed over or were, when a breaker has counted, opened or closed, when a launch
        begins to hang, and when the daemon begins to read in another way. This package's part of the tick took so
        many seconds. Narrowed means that the daemon was shown only the runs that may start; None if it didn't come
        to that.
        """
        self._try("Storing the daemon's state", lambda: self._record(instance, seconds, runs, narrowed))
        self._try("Saying what runs wait for", lambda: self._say(instance))

    def _say(self, instance: DagsterInstance) -> None:
        self._waits_for.write(instance, self.state, self._queued, self._offered, self._selection.held_by)

    def _record(
        self, instance: DagsterInstance, seconds: float, runs: Sequence[DagsterRun], narrowed: bool | None
    ) -> None:
        before, now = self._stored or DaemonState(), time.time()
        first = tuple(run.run_id for run in runs[:LAUNCHING_NAMED])
        state = DaemonState(
            narrowed=before.narrowed if narrowed is None else narrowed,
            credit=self._ledger.credit,
            at=now,
            reading_seconds=seconds,
            launching=Launching(self._began, len(runs), first) if runs else None,
            hanging=self.hanging,
            passed=self._passed,
            **self._accounting.stored(),
        )
        since = now - before.last_tick.at if before.last_tick else -1.0
        is_due = not 0 <= since < daemon_state.STORE_INTERVAL_SECONDS
        is_news = (before.narrowed, before.breakers, before.hanging) != (
            state.narrowed,
            state.breakers,
            state.hanging,
        )
        if is_due or runs or before.launching or is_news:
            with run_database(instance).connect() as connection:
                daemon_state.write(connection, state)
            self._stored = state

    def _log_tick(self, starts: Mapping[str, int]) -> None:
        """Log what a tick starts; or that it starts nothing, once per change. As JSON the numbers are fields."""
        state, starting = self.state, sum(starts.values())
        queued, in_progress = sum(state.queued.values()), len(state.in_progress)
        total = state.settings.max_concurrent_runs
        fields = {
            "starting": starting,
            "queued": queued,
            "in_progress": in_progress,
            "max_concurrent_runs": total,
            "tick_seconds": round(time.time() - self._began, 4),
        }
        if starting or not state.queued:
            self._logged.pop("saturated", None)
        if starting:
            line = "Starting %d of %d queued runs; %d in progress, max_concurrent_runs %d."
            self._log.info(line, starting, queued, in_progress, total, extra={**fields, "starting_of": {**starts}})
        elif state.queued:
            self._log_once(
                "saturated",
                {name: state.limit(name) for name in state.queued},
                logging.INFO,
                f"No queued run can start ({', '.join(state.saturated())}). {queued} queued,"
                f" {in_progress} in progress, max_concurrent_runs {total}.",
                fields,
            )

    def _try(self, what: str, step: Callable[[], Result]) -> Result | None:
        """Take a step that must not end the tick. If it fails, that is logged once, and the tick goes on."""
        try:
            done = step()
        except Exception as error:  # noqa: BLE001 - see above
            # Further lines hold the statement and its values, which differ from tick to tick.
            failed = f"{what} failed ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
            self._log_once(
                what, failed, logging.WARNING, f"{failed}; the tick goes on, and the next one tries again."
            )
            return None
        self._logged.pop(what, None)
        return done

    def _log_once(
        self, subject: str, state: object, level: int, line: str, fields: Mapping[str, object] | None = None
    ) -> None:
        """Log a line once per change of the state that it describes, not at each tick."""
        if self._logged.get(subject) != state:
            self._logged[subject] = state
            self._log.log(level, line, extra=fields)
