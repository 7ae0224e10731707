"""Lets manually launched runs past an open circuit breaker, where it is configured so (`breaker.manual_launches`).

For the rest of the tick such a code location is as if its breaker were closed and only its manually launched runs
were queued. Nothing else needs to know. Only a run's body says who launched it. Each body is read once, the newest
run first, so a launch by hand is found at once, however many runs are held.
"""

from dataclasses import replace

import sqlalchemy as db

from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.policy.in_force import Source
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import QueuedRun, is_manual
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


class ManualLaunches:
    """Knows which runs were launched manually, as long as the breaker is open."""

    def __init__(self) -> None:
        self._is_manual: dict[str, dict[int, bool]] = {}

    def pass_breakers(self, connection: db.Connection, queued: QueuedRuns, state: QueueState) -> QueueState:
        """The state for a tick, in which open breakers let manually launched runs through.

        Args:
            connection: To the instance's run database.
            queued: The queue, in which all other runs of these code locations are then hidden until the next tick.
            state: The queue at this moment.
        """
        before, self._is_manual = self._is_manual, {}
        only: dict[str, list[QueuedRun]] = {}
        for name in let_through(state):
            runs = list(queued.in_order(name))
            known = before.get(name, {})
            is_known = {run.storage_id: known[run.storage_id] for run in runs if run.storage_id in known}
            unknown = sorted((run.storage_id for run in runs if run.storage_id not in known), reverse=True)
            is_known.update(
                (storage_id, is_manual(run))
                for storage_id, run in load_runs(connection, unknown[:BODIES_PER_TICK]).items()
            )
            only[name] = [run for run in runs if is_known.get(run.storage_id)]
            self._is_manual[name] = is_known
        queued.show_only(only)
        counts = {**state.queued, **{name: len(runs) for name, runs in only.items()}}
        closed = {name: change for name, change in state.live.breakers.items() if name not in only}
        return replace(
            state,
            live=replace(state.live, breakers=closed),
            queued={name: runs for name, runs in counts.items() if runs},
        )
