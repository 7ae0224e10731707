"""Chooses the queued runs that a tick shows the daemon. It reads bodies and pools, and writes nothing.

`admission` decides whose turn a free slot is. This module brings it the candidates and asks, for each one, whether
something else holds it: its body, the limits on its job and backfill, Dagster's own tag limits and pools.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple

from clt_queued_run_coordinator._dagster import DagsterInstance, DagsterRun, RunRecord, run_database
from clt_queued_run_coordinator.daemon.candidates import Candidates, StoppedAt
from clt_queued_run_coordinator.daemon.dagster_checks import DagsterChecks
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.policy.admission import admit
from clt_queued_run_coordinator.policy.backfill_share import BackfillTurns
from clt_queued_run_coordinator.policy.claims import Claims, least
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
        backing_off: Container[str] = (),
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

    def choose(self, instance: DagsterInstance, state: QueueState) -> list[SelectedRun]:
        """The queued runs that may start, in the order in which the daemon should try them.

        Args:
            instance: The instance.
            state: The queue at this moment.
        """
        claims = state.claims
        with_room = [name for name in state.queued if claims.room(name) != 0] if state.free_slots != 0 else []
        selected: list[SelectedRun] = []
        if with_room:
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
                for names in self._by_rank(with_room):
                    left = None if state.free_slots is None else state.free_slots - len(selected)
                    admitted = self._admit(candidates, checks, names, claims, left, fair=state.is_fair)
                    claims = claims.after(Counter(run.code_location for run in admitted))
                    selected += admitted
                self._queued.relocate(candidates.misplaced)
        return selected

    def _by_rank(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """The code locations that go first, and those that get only what the others leave."""
        return (
            [name for name in names if name not in self._backing_off],
            [name for name in names if name in self._backing_off],
        )

    def _admit(
        self,
        candidates: Candidates,
        checks: DagsterChecks,
        names: Sequence[str],
        claims: Claims,
        slots: int | None,
        *,
        fair: bool,
    ) -> list[SelectedRun]:
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

        # The first pass assumes that nothing is held, so that one statement loads all likely starts.
        likely_limits = candidates.job_limits.copy()

        def starts_likely(name: str, run: QueuedRun) -> bool:
            of_run = self._queued.job_and_backfill(run.storage_id)
            if not likely_limits.has_room(name, of_run):
                return False
            likely_limits.start(name, run, of_run)
            return True

        queues = {name: candidates.likely(name, likely_limits) for name in names}
        likely = admit(queues, claims, slots, starts_likely, fair=fair, place=likely_limits.place)
        checks.load_pools(candidates.load(run for _, run in likely))
        queues = {name: candidates.of(name, least(claims.room(name), slots)) for name in names}
        admitted = admit(queues, claims, slots, starts, fair=fair, place=candidates.job_limits.place)
        return [SelectedRun(name, run, candidates.loaded(run)) for name, run in admitted]
