"""How far paused code locations are from having nothing in progress."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from clt_queued_run_coordinator._dagster import (
    IN_PROGRESS_STATUSES,
    DagsterInstance,
    DagsterRunStatus,
    RunsFilter,
)
from clt_queued_run_coordinator.config.tag import code_location_of
from clt_queued_run_coordinator.daemon import acknowledged_pauses
from clt_queued_run_coordinator.operate import counts, daemon_seen
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.transaction import reading

_QUEUED = RunsFilter(statuses=[DagsterRunStatus.QUEUED])
_PAGE = 1000

SILENT = timedelta(minutes=5)
"""After this time without a heartbeat or a tick the daemon is taken not to run. Each is due every 30 seconds at
least, but a tick that waits for a code server can hold them up."""


@dataclass(frozen=True)
class Draining:
    """What is left to wait for.

    Attributes:
        in_progress: The runs in progress of the code locations; of all, those without an origin included.
        resumed: Those of them that are no longer paused.
        is_seen: Whether the daemon has begun a tick with the pauses: from then on it starts nothing of them.
        is_silent: Whether no daemon runs that could start anything.
    """

    in_progress: int
    resumed: tuple[str, ...]
    is_seen: bool
    is_silent: bool

    @property
    def is_drained(self) -> bool:
        """Whether nothing is in progress, nor will be before the pauses end."""
        return not self.in_progress and not self.resumed and (self.is_seen or self.is_silent)


def read(instance: DagsterInstance, code_locations: Collection[str] | None) -> Draining:
    """Look how far some code locations are; None for all."""
    heartbeats = instance.get_daemon_heartbeats()
    with reading(instance) as connection:
        changes = live.read(connection)
        # Before the runs are counted: what was started until then is in progress by now.
        seen = acknowledged_pauses.read(connection)
        last = daemon_seen.read(connection, heartbeats).last_sign
        runs = counts.read(connection, IN_PROGRESS_STATUSES)
    names = code_locations
    if names is None:
        names = {*changes.code_locations, *runs, EVERY_CODE_LOCATION} - {NO_CODE_LOCATION}
    pauses = {name: changes.pause(name) for name in names}
    return Draining(
        in_progress=sum(runs[name].runs for name in runs if code_locations is None or name in code_locations),
        resumed=tuple(sorted(name for name, pause in pauses.items() if pause is None)),
        is_seen=all(pause.id in seen for pause in pauses.values() if pause),
        is_silent=last is None or changes.read_at - last > SILENT,
    )


def cancel_queued(instance: DagsterInstance, code_location: str) -> int:
    """Cancel the queued runs of a code location, and return their number. Their origin decides, as everywhere."""
    cancelled, cursor = 0, None
    while page := instance.get_runs(_QUEUED, cursor=cursor, limit=_PAGE):
        cursor = page[-1].run_id
        own = [run.run_id for run in page if code_location_of(run) == code_location]
        cancelled += sum(instance.run_coordinator.cancel_run(run_id) for run_id in own)
    return cancelled
