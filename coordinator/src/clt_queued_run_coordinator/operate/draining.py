"""How far paused code locations are from having nothing in progress."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from clt_queued_run_coordinator._dagster import QUEUE_DAEMON, DagsterInstance
from clt_queued_run_coordinator.daemon import acknowledged_pauses
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.operate import counts
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.transaction import reading

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
    """Look how far it is.

    Args:
        instance: The instance.
        code_locations: Their names; None for all.
    """
    heartbeat = instance.get_daemon_heartbeats().get(QUEUE_DAEMON)
    with reading(instance) as connection:
        changes = live.read(connection)
        # Before the runs are counted: what was started until then is in progress by now.
        seen = acknowledged_pauses.read(connection)
        tick = daemon_state.read(connection).last_tick
        runs = counts.read(connection, only_in_progress=True)
    of_each = runs.by_code_location
    if code_locations is None:
        names: Collection[str] = {*changes.code_locations, *of_each, live.EVERY_CODE_LOCATION}
        in_progress = runs.in_progress
    else:
        names = code_locations
        in_progress = sum(count.in_progress for name, count in of_each.items() if name in names)
    pauses = {name: changes.pause(name) for name in names}
    return Draining(
        in_progress=in_progress,
        resumed=tuple(sorted(name for name, pause in pauses.items() if pause is None)),
        is_seen=all(pause.id in seen for pause in pauses.values() if pause),
        is_silent=_is_silent(
            changes.read_at, heartbeat.timestamp if heartbeat else None, tick.at if tick else None
        ),
    )


def _is_silent(now: datetime, *signs_of_life: float | None) -> bool:
    last = max((sign for sign in signs_of_life if sign is not None), default=None)
    return last is None or now.timestamp() - last > SILENT.total_seconds()
