"""One reading of an instance, from which `status`, `explain`, `check`, metrics and the UI's tag limits answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from clt_queued_run_coordinator._dagster import (
    IN_PROGRESS_STATUSES,
    DagsterInstance,
    DagsterRunStatus,
    RunsFilter,
    instance_concurrency_settings,
)
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.operate import counts, daemon_seen
from clt_queued_run_coordinator.operate.daemon_seen import DaemonSeen
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.rows import created_at
from clt_queued_run_coordinator.store.transaction import reading
from clt_queued_run_coordinator.submit.refused import read_refused


@dataclass(frozen=True)
class Now:
    """An instance at one moment.

    Attributes:
        state: Its queue, as a tick of the daemon would see it at this moment.
        daemon: What is known of the daemon.
        oldest: When the oldest queued run of each code location was created, in UTC.
        first: The storage's id of the oldest queued run of each code location.
        takes: The slots that the oldest queued run of each code location takes; 1 where it isn't named.
        refused: How many submits were refused of each code location, where `max_queued` is configured.
    """

    state: QueueState
    daemon: DaemonSeen = field(default_factory=DaemonSeen)
    oldest: Mapping[str, datetime] = field(default_factory=dict)
    first: Mapping[str, int] = field(default_factory=dict)
    takes: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)

    @property
    def at(self) -> datetime:
        """The moment, in UTC by the database's clock."""
        return self.state.live.read_at

    def share(self, name: str) -> float | None:
        """The slots that are the due of a code location, or of a group by its `group_key`, to a tenth.

        None where nothing is shared.
        """
        return round(self.state.shares.get(name, 0.0), 1) if self._is_shared else None

    def credit_slot_seconds(self, name: str) -> float | None:
        """The credit of a code location, or of a group by its `group_key`; None where nothing is shared."""
        return round(self.state.credit.of(name), 1) if self._is_shared else None

    @property
    def _is_shared(self) -> bool:
        return self.state.settings.is_fair and self.state.settings.max_concurrent_runs != -1


def read(instance: DagsterInstance, settings: Settings, queue: QueuedRuns | None = None) -> Now:
    """Read an instance, whose coordinator was configured with `settings`. Writes nothing.

    The order of the queue is read into `queue`; if that is left out, queued runs are only counted.
    """
    settings = settings.as_replaced_by(instance_concurrency_settings(instance))
    if queue is None and settings.code_location_limits.slot:  # only the order knows what each run takes
        queue = QueuedRuns(settings.code_location_limits)
    heartbeats = instance.get_daemon_heartbeats()
    with reading(instance) as connection:
        changes = live.read(connection)
        oldest: dict[str, datetime] = {}
        first: dict[str, int] = {}
        takes: dict[str, int] = {}
        slots: Mapping[str, int] | None = None
        if queue is None:
            counted = counts.read(connection, [DagsterRunStatus.QUEUED])
            queued = {name: count.runs for name, count in counted.items()}
            oldest = {name: count.oldest for name, count in counted.items() if count.oldest}
            first = {name: count.first for name, count in counted.items() if count.first}
        else:
            queue.refresh(connection, changes.read_at)
            queued, first, slots = queue.counts(), queue.oldest(), queue.slots()
            takes = {name: queue.lane_of[storage_id].of.slots for name, storage_id in first.items()}
            created = created_at(connection, first.values())
            oldest = {name: created[storage_id] for name, storage_id in first.items() if storage_id in created}
        daemon = daemon_seen.read(connection, heartbeats)
        refused = read_refused(connection) if "max_queued" in settings.code_location_limits.used else {}
    in_progress = instance.get_run_records(RunsFilter(statuses=IN_PROGRESS_STATUSES))
    credit = daemon.stored.credit
    if settings.is_fair:  # the daemon stores the credit now and then
        half_life = settings.code_location_limits.sharing.half_life
        credit = credit.advanced(changes.read_at.timestamp(), half_life)
    state = QueueState(settings, changes, queued, in_progress, credit, slots, daemon.stored.passed)
    return Now(state, daemon, oldest, first, takes, refused)
