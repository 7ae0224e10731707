"""Chooses the queued runs that a tick shows the daemon. It reads bodies and pools, and writes nothing.

`admission` decides whose turn a free slot is. This module brings it the candidates and asks, for each one, whether
something else holds it: its body, the limits on its job and backfill, Dagster's own tag limits and pools.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from itertools import chain
from typing import NamedTuple

from clt_queued_run_coordinator._dagster import DagsterInstance, DagsterRun, run_database
from clt_queued_run_coordinator.daemon.candidates import Candidates
from clt_queued_run_coordinator.daemon.dagster_checks import DagsterChecks, Needs
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.policy.admission import admit
from clt_queued_run_coordinator.policy.backfill_share import BackfillTurns
from clt_queued_run_coordinator.policy.job_and_backfill_limits import JobAndBackfillLimits
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import JobAndBackfill, QueuedRun
from clt_queued_run_coordinator.policy.room import Room

LOOK_SECONDS = 15.0
"""While no slot is free, who could start one is found out so often."""


class SelectedRun(NamedTuple):
    """A run that the daemon is shown: its code location, its place in the queue, and its body."""

    code_location: str
    queued: QueuedRun
    run: DagsterRun


HeldBy = Callable[[str, JobAndBackfill], str | None]
"""What holds the queued runs of a code location that have this in common, beside the counts; None if nothing is
known. It is said as their tag says it."""


class Selection(NamedTuple):
    """What a tick has chosen.

    Attributes:
        runs: The runs that may start, in the order in which the daemon should try them.
        blocked: The code locations with room of which no further run could start, and those backed off from.
        backfill_turns: The turns of backfills that were taken, by code location.
        passed: The runs that were too large at their turn, by code location.
        held_by: Tells what holds others beside the counts.
    """

    runs: list[SelectedRun]
    blocked: frozenset[str]
    backfill_turns: Mapping[str, BackfillTurns]
    passed: Mapping[str, QueuedRun]
    held_by: HeldBy = lambda _code_location, _of: None


NOTHING = Selection([], frozenset(), {}, {})


def select(
    instance: DagsterInstance,
    queued: QueuedRuns,
    state: QueueState,
    checks: DagsterChecks,
    *,
    backing_off: Collection[str] = (),
    hanging: Collection[str] = (),
    backfills_earned: Mapping[str, float] | None = None,
) -> Selection:
    """Choose the queued runs that may start, and count them in Dagster's own checks.

    Who is backed off from gets only the slots that the others leave. Who has a launch that hangs gets none. For
    what the backfills of each code location have earned see `BackfillTurns`.
    """
    names = [name for name in state.queued if state.claims.room(name) != 0]
    if not names:
        return NOTHING
    names = [name for name in names if name not in hanging]
    backing_off = {*backing_off, *hanging}
    job_limits = JobAndBackfillLimits(
        state.settings.code_location_limits,
        ((name, JobAndBackfill.of(run)) for name, run in state.runs_in_progress()),
        backfills_earned,
    )
    # The first pass assumes that what hasn't been read isn't held, so one statement loads all likely starts.
    likely_limits = job_limits.copy()

    def could_start(name: str, run: QueuedRun) -> bool:
        return likely_limits.has_room(name, queued.lane_of[run.storage_id].of)

    def starts(name: str, run: QueuedRun) -> bool:
        if not could_start(name, run):
            return False
        likely_limits.start(name, run, queued.lane_of[run.storage_id].of)
        return True

    passed = (queued.get(storage_id) for storage_id in state.holding_back)
    hold_back = [of for of in passed if of]
    decide = partial(
        admit,
        credit=state.credit if state.is_fair else None,
        last=backing_off,
        hold_back=hold_back,
    )
    room, likely_room = (Room(state.claims, state.free_slots) for _ in range(2))
    with run_database(instance).connect() as connection:
        lanes = chain.from_iterable(map(queued.lanes, names))
        checks.load_pools(lane.of.needs.run for lane in lanes if isinstance(lane.of.needs, Needs))
        candidates = Candidates(connection, queued, len(names), job_limits, checks, room=room)
        likely = decide(
            {name: candidates.likely(name, likely_limits, likely_room) for name in names},
            likely_room,
            starts=starts,
            could_start=could_start,
            place=likely_limits.place,
        )
        waiting = chain(likely.waiting.values(), (run for _, run in hold_back))
        heads = (run for run in waiting if queued.lane_of[run.storage_id].of.needs is None)
        candidates.load([*(run for _, run in likely.runs), *heads])
        admission = decide(
            {name: candidates.of(name) for name in names},
            room,
            starts=candidates.starts,
            could_start=candidates.could_start,
            place=job_limits.place,
        )
        candidates.tell()
    runs = [SelectedRun(name, run, candidates.body(run)) for name, run in admission.runs]

    def held_by(name: str, of: JobAndBackfill) -> str | None:
        if isinstance(of.needs, Needs):
            for pool in checks.full_pools(of.needs.run):
                return f"pool {pool}"
            for limit in checks.full_tag_limits(of.needs.run):
                return f"tag limit {limit['key']}"
        if not job_limits.has_room(name, of):
            return "max_per_backfill" if job_limits.has_room(name, of._replace(backfill=None)) else "max_per_job"
        return "its code server" if name in backing_off else None

    blocked = frozenset({*admission.blocked, *backing_off})
    return Selection(runs, blocked, job_limits.backfill_turns, admission.passed, held_by)
