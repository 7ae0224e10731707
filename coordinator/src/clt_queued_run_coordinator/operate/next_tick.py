"""Works out which runs the next tick starts, by the same steps as a tick. Nothing is written."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterInstance, DagsterRun, RunRecord, with_read_only_pools
from clt_queued_run_coordinator.daemon.candidates import CANDIDATES_PER_LOCATION, CANDIDATES_PER_TICK
from clt_queued_run_coordinator.daemon.dagster_checks import DagsterChecks
from clt_queued_run_coordinator.daemon.manual_launches import ManualLaunches
from clt_queued_run_coordinator.daemon.selection import Selection
from clt_queued_run_coordinator.daemon.state import DaemonState
from clt_queued_run_coordinator.operate import counts as run_counts
from clt_queued_run_coordinator.operate.front import FrontOfQueue
from clt_queued_run_coordinator.policy.queue_state import QueueState


@dataclass(frozen=True)
class NextTick:
    """What the next tick would do if it came now.

    Attributes:
        starts: The runs that it would start, by the storage's id.
        by_code_location: The number of them, by code location.
        room: How many runs of each code location could start by its limit and its group's; None for no limit.
        checks: Dagster's own checks, with those runs counted; None if no run could start.
        runs: The runs that it would start.
    """

    starts: frozenset[int]
    by_code_location: Mapping[str, int]
    room: Mapping[str, int | None]
    checks: DagsterChecks | None
    runs: Sequence[DagsterRun]


def next_tick(
    instance: DagsterInstance, tick: QueueState, front: FrontOfQueue, state: DaemonState, at_least: int = 0
) -> NextTick:
    """Work out which runs the next tick starts.

    Only the daemon's process knows which code locations it is backing off from, and where the last tick stopped in
    a queue of held runs. Neither is taken into account.

    Args:
        instance: The instance.
        tick: The tick, with the runs in progress. Its counts of queued runs are not used.
        front: The front of the queue; it is read if it hasn't been.
        state: What the daemon has stored.
        at_least: The least number of runs of each code location to look at.
    """
    slots = tick.free_slots or 0
    if not front.is_read:
        with run_counts.reading(instance) as connection:
            front.read(connection, max(CANDIDATES_PER_LOCATION + slots, at_least))
    tick = replace(tick, queued=front.counts()).with_usage(state.usage, time.time())
    with run_counts.reading(instance) as connection:
        tick = ManualLaunches().pass_breakers(connection, front, tick)
    room = {name: tick.room(name) for name in tick.queued}
    with_room = [name for name, most in room.items() if most != 0]
    candidates = CANDIDATES_PER_TICK // max(1, len(with_room))
    if candidates > CANDIDATES_PER_LOCATION:
        front.take_more(with_room, candidates + slots)
    made: list[DagsterChecks] = []

    def make_checks(
        _instance: DagsterInstance, limits: Sequence[Mapping[str, Any]], in_progress: Sequence[RunRecord]
    ) -> DagsterChecks:
        made.append(DagsterChecks(with_read_only_pools(instance), limits, in_progress))
        return made[-1]

    selected = Selection(front, make_checks=make_checks).choose(instance, tick)
    return NextTick(
        starts=frozenset(run.queued.storage_id for run in selected),
        by_code_location=Counter(run.code_location for run in selected),
        room=room,
        checks=made[0] if made else None,
        runs=[run.run for run in selected],
    )
