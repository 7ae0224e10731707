"""Lets manually launched runs past an open circuit breaker, where it is configured so (`breaker.manual_launches`).

For the rest of the tick such a code location is as if its breaker were closed and only its manually launched runs
were queued. Nothing else needs to know. Only a run's body says who launched it. Each body is read once, the newest
run first, so a launch by hand is found at once, however many runs are held.
"""

import heapq
from dataclasses import replace
from itertools import islice

from clt_queued_run_coordinator._dagster import DagsterInstance, run_database
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.policy.in_force import Source
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import is_manual
from clt_queued_run_coordinator.store.rows import load_runs

BODIES_PER_TICK = 1000
"""The most bodies that are read of each code location at a tick."""


def let_through(state: QueueState) -> set[str]:
    """The code locations whose open breaker is all that holds them, and lets manually launched runs through."""
    configured = state.settings.code_location_limits
    return {
        name
        for name in state.live.breakers
        if (breaker := configured.entry(name).breaker)
        and breaker.manual_launches
        and state.in_force(name).source is Source.BREAKER
    }


def pass_breakers(instance: DagsterInstance, queued: QueuedRuns, state: QueueState) -> QueueState:
    """The state for a tick, in which open breakers let manually launched runs through.

    All other runs of these code locations are hidden in the queue until the next tick.
    """
    queued.show_only_manual(())
    names = let_through(state)
    if not names:
        return state
    with run_database(instance).connect() as connection:
        for name in names:
            unknown = (reversed(lane.ids) for lane in queued.lanes(name) if lane.of.is_manual is None)
            newest = list(islice(heapq.merge(*unknown, reverse=True), BODIES_PER_TICK))
            for storage_id, run in load_runs(connection, newest).items():
                queued.learn(storage_id, is_manual=is_manual(run))
    queued.show_only_manual(names)
    shown = queued.counts()
    return replace(
        state,
        live=replace(
            state.live, breakers={name: it for name, it in state.live.breakers.items() if name not in names}
        ),
        queued={name: runs for name, runs in state.queued.items() if name not in names}
        | {name: shown[name] for name in names if name in shown},
        queued_slots=queued.slots(),
    )
