"""Opens circuit breakers in the instance's database when `breaker` decides so.

An open breaker is a live change, with an end, a reason and an entry in the history. It is written in one
transaction with the counts that led to it. So wherever the daemon is killed, an opening is neither lost nor made
twice.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.config.options import Breaker
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.daemon.run_tracker import RunTracker
from clt_queued_run_coordinator.policy.breaker import BreakerState, OpenBreaker, update
from clt_queued_run_coordinator.policy.outcomes import EndedRun
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.live import Change, Kind, LiveChanges
from clt_queued_run_coordinator.store.transaction import transaction

BY = "circuit breaker"
"""The author of the live change."""


class _StoredByAnotherError(Exception):
    """Another daemon has counted the same runs in the meantime."""


class Breakers:
    """The circuit breakers of one instance.

    Args:
        settings: The settings that the coordinator was configured with.
        log: Receives a line for each breaker that opens or closes.
    """

    def __init__(self, settings: Settings, log: logging.Logger) -> None:
        self._limits = settings.code_location_limits
        self._log = log

    def update(
        self, instance: DagsterInstance, tracker: RunTracker, ended: Sequence[EndedRun], changes: LiveChanges
    ) -> Mapping[str, Change]:
        """Count runs that ended, and open the breaker of each code location of which too many failed.

        Args:
            instance: The instance.
            tracker: Tracks the runs, and stores what the breakers remember.
            ended: The runs that ended.
            changes: The live changes in force.

        Returns:
            The changes that opened breakers, by code location.
        """
        if not self._limits.has_breakers:
            return {}
        stored = tracker.breakers if isinstance(tracker.breakers, Mapping) else {}
        before = {str(name): BreakerState.from_data(data) for name, data in stored.items()}
        updated = update(before, ended, self._breaker, changes)
        opened: dict[str, Change] = {}
        if updated.opens:
            try:
                opened = self._open(instance, tracker, updated.states, updated.opens)
            except _StoredByAnotherError:
                tracker.forget()
            except Exception:
                tracker.forget()
                raise
        else:
            tracker.remember_breakers(_as_data(updated.states))
        for name in updated.closed:
            self._log.info(
                "The circuit breaker of code location %r is closed; its failures count from 0 again.", name
            )
        return opened

    def _breaker(self, code_location: str) -> Breaker | None:
        return self._limits.entry(code_location).breaker

    def _open(
        self,
        instance: DagsterInstance,
        tracker: RunTracker,
        states: Mapping[str, BreakerState],
        reasons: Mapping[str, str],
    ) -> dict[str, Change]:
        opened: dict[str, Change] = {}
        with transaction(instance) as connection:
            for name, reason in sorted(reasons.items()):
                breaker = self._breaker(name)
                until = timedelta(seconds=breaker.pause_for) if breaker and breaker.pause_for else None
                opened[name] = live.write(connection, Kind.BREAKER, name, True, until=until, reason=reason, by=BY)
            are_open = {name: BreakerState(open=OpenBreaker.of(change)) for name, change in opened.items()}
            tracker.remember_breakers(_as_data({**states, **are_open}))
            if not tracker.store_in(connection):
                raise _StoredByAnotherError
        for name, change in opened.items():
            breaker = self._breaker(name)
            self._log.warning(
                "The circuit breaker of code location %r has opened: %s. %s start until %s.",
                name,
                change.reason,
                "Only its manually launched runs" if breaker and breaker.manual_launches else "None of its runs",
                f"{live.iso(change.until)} or `dagster-clt resume`" if change.until else "`dagster-clt resume`",
            )
        return opened


def _as_data(states: Mapping[str, BreakerState]) -> dict[str, object]:
    return {name: data for name, state in states.items() if (data := state.as_data())}
