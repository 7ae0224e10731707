"""The queue as it is now: what the command line, the metrics and the UI work from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from clt_queued_run_coordinator._dagster import DagsterInstance, instance_concurrency_settings
from clt_queued_run_coordinator.config.options import Group
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.daemon.state import DaemonState
from clt_queued_run_coordinator.operate import counts as run_counts
from clt_queued_run_coordinator.operate.counts import Count, Counts
from clt_queued_run_coordinator.policy.claims import Claim, Claims, with_groups
from clt_queued_run_coordinator.policy.in_force import LimitInForce, default_limit, limits_of
from clt_queued_run_coordinator.policy.sharing import share
from clt_queued_run_coordinator.policy.tag_limits import code_locations_named_in
from clt_queued_run_coordinator.policy.usage import Usage
from clt_queued_run_coordinator.store.live import LiveChanges
from clt_queued_run_coordinator.store.live import read as read_live_changes
from clt_queued_run_coordinator.submit.refused import read_refused


@dataclass(frozen=True)
class QueueState:
    """The queue at one moment.

    Attributes:
        settings: The settings in force.
        counts: The runs.
        live: The live changes.
        limits: The limit in force of each code location that is configured, was changed live, or has runs.
        daemon: What the daemon has left of its last ticks.
        refused: How many submits were refused of each code location, where `max_queued` is configured.
    """

    settings: Settings
    counts: Counts
    live: LiveChanges
    limits: Mapping[str, LimitInForce]
    daemon: DaemonState
    refused: Mapping[str, int] = field(default_factory=dict)

    @property
    def max_concurrent_runs(self) -> int:
        """The most runs in progress at once; -1 for no such limit."""
        return self.settings.max_concurrent_runs

    def count(self, code_location: str) -> Count:
        """The runs of a code location."""
        return self.counts.by_code_location.get(code_location, Count())

    def in_force(self, code_location: str) -> LimitInForce:
        """The limit in force of a code location, whether it has a line in `limits` or not."""
        return limits_of([code_location], self.settings, self.live)[code_location]

    @property
    def default_limit(self) -> int | None:
        """The limit of a code location that nobody has named or seen."""
        return default_limit(self.settings, self.live)

    def in_progress_of(self, group: Group) -> int:
        """The runs in progress of a group."""
        return sum(self.count(code_location).in_progress for code_location in group.locations)

    @property
    def slots(self) -> int | None:
        """How many runs of code locations may be in progress at once; None for no such limit."""
        if self.max_concurrent_runs == -1:
            return None
        return max(0, self.max_concurrent_runs - self.counts.without_code_location)

    def claims(self) -> Claims:
        """What each code location that has runs, or is in a group, could use, and each group."""
        configured = self.settings.code_location_limits
        of_each = {
            name: Claim(
                queued=self.count(name).queued,
                in_progress=self.count(name).in_progress,
                limit=self.limits[name].limit,
                weight=self.limits[name].weight,
                used=self.daemon.usage.of(name),
                min=configured.entry(name).min,
            )
            for name in {**self.counts.by_code_location, **configured.group_of}
        }
        return Claims.of(of_each, configured.groups, self.daemon.usage)

    def used(self, now: datetime) -> Usage | None:
        """What each code location has used of the slots by now; None where nothing is shared.

        Args:
            now: The moment, in UTC.
        """
        if not self.settings.is_fair or self.slots is None:
            return None
        configured = self.settings.code_location_limits
        in_progress = {name: count.in_progress for name, count in self.counts.by_code_location.items()}
        return self.daemon.usage.advanced(
            now.timestamp(), with_groups(in_progress, configured.groups), configured.half_life
        )

    def shares(self) -> dict[str, int]:
        """Each code location's share, empty where nothing is shared."""
        if not self.settings.is_fair or self.slots is None:
            return {}
        return share(self.claims(), self.slots)


def read(instance: DagsterInstance, settings: Settings) -> QueueState:
    """Read the queue of an instance.

    Args:
        instance: Whose queue.
        settings: What its coordinator was configured with.
    """
    settings = settings.as_replaced_by(instance_concurrency_settings(instance))
    with run_counts.reading(instance) as connection:
        counts = run_counts.read(connection)
        live = read_live_changes(connection)
        daemon = daemon_state.read(connection)
        refused = read_refused(connection) if settings.code_location_limits.has_queue_limits else {}
    names = {*settings.code_location_limits.named_locations, *live.code_locations, *counts.by_code_location}
    names |= code_locations_named_in(settings.tag_concurrency_limits)
    return QueueState(settings, counts, live, limits_of(names, settings, live), daemon, refused)
