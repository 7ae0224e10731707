"""Chooses the queued runs that a tick shows the daemon. It reads bodies and pools, and writes nothing.

`admission` decides whose turn a free slot is. This module brings it the candidates and asks, for each one, whether
something else holds it: its body, the limits on its job and backfill, Dagster's own tag limits and pools.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from clt_queued_run_coordinator._dagster import DagsterInstance, DagsterRun, RunRecord, run_database
from clt_queued_run_coordinator.daemon.candidates import Candidates, StoppedAt
from clt_queued_run_coordinator.daemon.dagster_checks import DagsterChecks
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.policy.admission import admit
from clt_queued_run_coordinator.policy.backfill_share import BackfillTurns
from clt_queued_run_coordinator.policy.claims import least
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


class Selection:
    """The selection of one tick.

    Args:
        queued: The queue.
        stopped_at: Where the last tick stopped looking for candidates; kept up to date.
        backing_off: The code locations that get only the slots that the others leave.
        backfills_earned: What the backfills of each code location have earned; see `BackfillTurns`.
        make_checks: Makes Dagster's own checks.
    """

    def __init__(
        self,
        queued: QueuedRuns,
        *,
        stopped_at: StoppedAt | None = None,
        backing_off: Collection[str] = (),
        backfills_earned: Mapping[str, float] | None = None,
        make_checks: MakeChecks = DagsterChecks,
    ) -> None:
        self._queued = queued
        self._stopped_at: StoppedAt = {} if stopped_at is None else stopped_at
        self._backing_off = backing_off
        self._backfills_earned = backfills_earned
        self._make_checks = make_checks
        self.backfill_turns: dict[str, BackfillTurns] = {}
        """The turns of backfills that were taken, by code location."""
        self.blocked: frozenset[str] = frozenset()
        """The code locations with room of which no further run could start."""

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
            candidates = Candidates(connection, self._queued, self._stopped_at, len(with_room), job_limits)
            checks = self._make_checks(
                instance, other_tag_limits(state.settings.tag_concurrency_limits), state.in_progress
            )
            selected = self._admit(candidates, checks, with_room, state)
            self._queued.relocate(candidates.misplaced)
        return selected

    def _admit(
        self, candidates: Candidates, checks: DagsterChecks, names: Sequence[str], state: QueueState
    ) -> list[SelectedRun]:
        claims, slots = state.claims, state.free_slots
        job_limits = candidates.job_limits

        def could_start(name: str, run: QueuedRun) -> bool:
            checks.load_pools(candidates.load_from(name, run))
            body = candidates.body(run)
            return (
                body is not None
                and candidates.belongs(name, run, body)
                and job_limits.has_room(name, JobAndBackfill.of(body))
                and not checks.hold(body)
            )

        def starts(name: str, run: QueuedRun) -> bool:
            if not could_start(name, run):
                return False
            body = candidates.loaded(run)
            job_limits.start(name, run, JobAndBackfill.of(body))
            checks.start(body)
            return True

        # The first pass assumes that nothing is held, so that one statement loads all likely starts.
        likely_limits = job_limits.copy()

        def could_start_likely(name: str, run: QueuedRun) -> bool:
            return likely_limits.has_room(name, self._queued.job_and_backfill(run.storage_id))

        def starts_likely(name: str, run: QueuedRun) -> bool:
            if not could_start_likely(name, run):
                return False
            likely_limits.start(name, run, self._queued.job_and_backfill(run.storage_id))
            return True

        credit = state.credit if state.is_fair else None
        likely = admit(
            {name: candidates.likely(name, likely_limits) for name in names},
            claims,
            slots,
            starts_likely,
            credit=credit,
            could_start=could_start_likely,
            last=self._backing_off,
            place=likely_limits.place,
        )
        checks.load_pools(candidates.load([*(run for _, run in likely.runs), *likely.waiting.values()]))
        admission = admit(
            {name: candidates.of(name, least(claims.room(name), slots)) for name in names},
            claims,
            slots,
            starts,
            credit=credit,
            could_start=could_start,
            last=self._backing_off,
            place=job_limits.place,
        )
        self.blocked = frozenset(admission.blocked)
        return [SelectedRun(name, run, candidates.loaded(run)) for name, run in admission.runs]
