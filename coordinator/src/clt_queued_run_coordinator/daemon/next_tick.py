"""Which runs the next tick starts, worked out as a tick does. Nothing is written."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterInstance, DagsterRun, RunRecord, with_read_only_pools
from clt_queued_run_coordinator.daemon.candidates import CANDIDATES_PER_LOCATION, CANDIDATES_PER_TICK
from clt_queued_run_coordinator.daemon.state import DaemonState
from clt_queued_run_coordinator.daemon.tick import Tick
from clt_queued_run_coordinator.daemon.tick_handler import TickHandler
from clt_queued_run_coordinator.queue import counts as run_counts
from clt_queued_run_coordinator.queue.dagster_checks import DagsterChecks
from clt_queued_run_coordinator.queue.front import FrontOfQueue


@dataclass(frozen=True)
class NextTick:
    """What the next tick would do if it came now.

    Attributes:
        starts: The runs that it starts, by the storage's number.
        by_code_location: How many of each code location.
        room: How many of each could start, by its limit and its group's; None for no limit.
        checks: Dagster's own checks beside those runs; None where none could start.
        runs: Those that start.
    """

    starts: frozenset[int]
    by_code_location: Mapping[str, int]
    room: Mapping[str, int | None]
    checks: DagsterChecks | None
    runs: Sequence[DagsterRun]


def next_tick(
    instance: DagsterInstance, tick: Tick, front: FrontOfQueue, state: DaemonState, at_least: int = 0
) -> NextTick:
    """Work out which runs the next tick starts.

    Args:
        instance: Whose queue.
        tick: With the runs in progress; what it says of queued runs is not used.
        front: The front of the queue, read or not.
        state: What the daemon has stored.
        at_least: How many runs of each code location are looked at in any case.
    """
    slots = tick.slots or 0
    with run_counts.reading(instance) as connection:
        if not front.is_read:
            front.read(connection, max(CANDIDATES_PER_LOCATION + slots, at_least))
        tick = Tick(tick.settings, tick.live, front.counts(), in_progress=tick.in_progress)
        claims = tick.claims(state.usage)
        room = {name: claims.room(name) for name in tick.queued}
        with_room = [name for name, most in room.items() if most != 0]
        looked_at = CANDIDATES_PER_TICK // max(1, len(with_room))
        if looked_at > CANDIDATES_PER_LOCATION:
            front.read_more(connection, with_room, looked_at + slots)
    made: list[DagsterChecks] = []

    def new_checks(
        _instance: DagsterInstance, limits: Sequence[Mapping[str, Any]], in_progress: Sequence[RunRecord]
    ) -> DagsterChecks:
        made.append(DagsterChecks(with_read_only_pools(instance), limits, in_progress))
        return made[-1]

    handler = TickHandler(tick.settings, logging.getLogger(__name__))
    shown = handler.preview(instance, tick, front, state, new_checks)
    return NextTick(
        starts=frozenset(queued.id for _, queued, _ in shown),
        by_code_location=Counter(name for name, _, _ in shown),
        room=room,
        checks=made[0] if made else None,
        runs=[run for _, _, run in shown],
    )
