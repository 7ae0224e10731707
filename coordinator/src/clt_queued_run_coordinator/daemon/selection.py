"""Chooses the queued runs that a tick shows the daemon. It reads bodies and pools, and writes nothing.

`admission` decides whose turn a free slot is. This module brings it the candidates and asks, for each one, whether
something else holds it: its body, the limits on its job and backfill, Dagster's own tag limits and pools.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from clt_queued_run_coordinator._dagster import DagsterInstance, DagsterRun, RunRecord, run_database
from clt_queued_run_coordinator.daemon.candidates import Candidates
from clt_queued_run_coordinator.daemon.dagster_checks import DagsterChecks, Needs
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.policy.admission import admit
from clt_queued_run_coordinator.policy.backfill_share import BackfillTurns
from clt_queued_run_coordinator.policy.job_and_backfill_limits import JobAndBackfillLimits
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import JobAndBackfill, QueuedRun
from clt_queued_run_coordinator.policy.tag_limits import other_tag_limits


class SelectedRun(NamedTuple):
    """A run that the daemon is shown.

    Attributes:
        code_location: Its code location.
        queued: Its place in the queue.
        run: Its body.
    """

    code_location: str
    queued: QueuedRun
    run: DagsterRun


MakeChecks = Callable[[DagsterInstance, Sequence[Mapping[str, Any]], Sequence[RunRecord]], DagsterChecks]
"""Makes Dagster's own checks for a tick: `DagsterChecks`, or a variant that writes nothing at all."""


LOOK_SECONDS = 15.0
"""While no slot is free, who could start one is found out so often."""


class Selection:
    """The selection of one tick.

    Args:
        queued: The queue.
        backing_off: The code locations that get only the slots that the others leave.
        backfills_earned: What the backfills of each code location have earned; see `BackfillTurns`.
        make_checks: Makes Dagster's own checks.
    """

    def __init__(
        self,
        queued: QueuedRuns,
        *,
        backing_off: Collection[str] = (),
        backfills_earned: Mapping[str, float] | None = None,
        make_checks: MakeChecks = DagsterChecks,
    ) -> None:
        self._queued = queued
        self._backing_off = backing_off
        self._backfills_earned = backfills_earned
        self._make_checks = make_checks
        self.backfill_turns: dict[str, BackfillTurns] = {}
        """The turns of backfills that were taken, by code location."""
        self.blocked: frozenset[str] = frozenset()
        """The code locations with room of which no further run could start; also those that are backing off."""

    def choose(self, instance: DagsterInstance, state: QueueState) -> list[SelectedRun]:
        """The queued runs that may start, in the order in which the daemon should try them.

        Args:
            instance: The instance.
            state: The queue at this moment.
        """
        claims = state.claims
        with_room = [name for name in state.queued if claims.room(name) != 0]
        if not with_room:
            self.blocked = frozenset()
            return []
        with run_database(instance).connect() as connection:
            job_limits = JobAndBackfillLimits(
                state.settings.code_location_limits,
                ((name, JobAndBackfill.of(run)) for name, run in state.runs_in_progress()),
                self._backfills_earned,
            )
            self.backfill_turns = job_limits.backfill_turns
            limits = other_tag_limits(state.settings.tag_concurrency_limits)
            checks = self._make_checks(instance, limits, state.in_progress)
            lanes = chain.from_iterable(map(self._queued.lanes, with_room))
            checks.load_pools(lane.of.needs.run for lane in lanes if isinstance(lane.of.needs, Needs))
            candidates = Candidates(connection, self._queued, len(with_room), job_limits, checks)
            selected = self._admit(candidates, with_room, state)
            candidates.tell(self._queued)
        return selected

    def _admit(self, candidates: Candidates, names: Sequence[str], state: QueueState) -> list[SelectedRun]:
        # The first pass assumes that what hasn't been read isn't held, so one statement loads all likely starts.
        likely_limits = candidates.job_limits.copy()

        def has_room(name: str, run: QueuedRun) -> bool:
            return likely_limits.has_room(name, self._queued.job_and_backfill(run.storage_id))

        def starts_likely(name: str, run: QueuedRun) -> bool:
            starts = has_room(name, run)
            if starts:
                likely_limits.start(name, run, self._queued.job_and_backfill(run.storage_id))
            return starts

        decide = partial(
            admit,
            claims=state.claims,
            slots=state.free_slots,
            credit=state.credit if state.is_fair else None,
            last=self._backing_off,
        )
        queues = {name: candidates.likely(name, likely_limits) for name in names}
        likely = decide(queues, starts=starts_likely, could_start=has_room, place=likely_limits.place)
        heads = [run for run in likely.waiting.values() if self._is_unread(run)]
        candidates.load([*(run for _, run in likely.runs), *heads])
        admission = decide(
            {name: candidates.of(name) for name in names},
            starts=candidates.starts,
            could_start=candidates.could_start,
            place=candidates.job_limits.place,
        )
        self.blocked = frozenset({*admission.blocked, *self._backing_off})
        return [SelectedRun(name, run, candidates.body(run)) for name, run in admission.runs]

    def _is_unread(self, run: QueuedRun) -> bool:
        return self._queued.job_and_backfill(run.storage_id).needs is None
