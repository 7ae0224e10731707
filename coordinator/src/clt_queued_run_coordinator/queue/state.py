"""The queue as it is now: what the daemon, the command line and the metrics all work from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterInstance, instance_concurrency_settings
from clt_queued_run_coordinator.limits.configuration import CodeLocationLimits, Sharing
from clt_queued_run_coordinator.limits.in_force import LimitInForce, resolve
from clt_queued_run_coordinator.limits.live import LiveChanges
from clt_queued_run_coordinator.limits.sharing import Claim, share
from clt_queued_run_coordinator.queue import counts as run_counts
from clt_queued_run_coordinator.queue.counts import Count, Counts
from clt_queued_run_coordinator.tagging.code_location_tag import CLT_TAG_KEY


@dataclass(frozen=True)
class Settings:
    """What the coordinator was configured with.

    Attributes:
        max_concurrent_runs: The most runs in progress at once; -1 for no such limit.
        code_location_limits: The option of that name.
        tag_concurrency_limits: Dagster's own tag limits.
    """

    max_concurrent_runs: int
    code_location_limits: CodeLocationLimits
    tag_concurrency_limits: Sequence[Mapping[str, Any]] = ()

    @property
    def is_fair(self) -> bool:
        """Whether free slots go to whoever is furthest below its share."""
        return self.code_location_limits.sharing is Sharing.FAIR


@dataclass(frozen=True)
class QueueState:
    """The queue at one moment.

    Attributes:
        settings: What the coordinator was configured with.
        max_concurrent_runs: The effective one: the instance's `concurrency.runs` replaces the coordinator's.
        counts: The runs.
        live: The live changes.
        limits: The limit in force of each code location that is configured, was changed live, or has runs.
    """

    settings: Settings
    max_concurrent_runs: int
    counts: Counts
    live: LiveChanges
    limits: Mapping[str, LimitInForce]

    def count(self, code_location: str) -> Count:
        """The runs of a code location."""
        return self.counts.by_code_location.get(code_location, Count())

    @property
    def default_limit(self) -> int | None:
        """The limit of a code location that nobody has named or seen."""
        return resolve(
            "", self.settings.code_location_limits, LiveChanges(), self.settings.tag_concurrency_limits
        ).limit

    @property
    def slots(self) -> int | None:
        """How many runs of code locations may be in progress at once; None for no such limit."""
        if self.max_concurrent_runs == -1:
            return None
        return max(0, self.max_concurrent_runs - self.counts.without_code_location)

    def claims(self) -> dict[str, Claim]:
        """What each code location that has runs could use."""
        return {
            name: Claim(
                queued=count.queued,
                in_progress=count.in_progress,
                limit=self.limits[name].limit,
                weight=self.limits[name].weight,
                oldest=count.oldest.timestamp() if count.oldest else 0.0,
            )
            for name, count in self.counts.by_code_location.items()
        }

    def shares(self) -> dict[str, int]:
        """Each code location's share, empty where nothing is shared."""
        if not self.settings.is_fair or self.slots is None:
            return {}
        return share(self.claims(), self.slots)


def read(instance: DagsterInstance, settings: Settings, counted_before: int = 0) -> QueueState:
    """Read the queue of an instance.

    Args:
        instance: Whose queue.
        settings: What its coordinator was configured with.
        counted_before: The `last_id` of an earlier reading; see `counts.Count.waiting_since_before`.
    """
    counts, live = run_counts.read(instance, counted_before)
    names = {*settings.code_location_limits.entries, *live.code_locations, *counts.by_code_location}
    names |= {
        str(limit["value"])
        for limit in settings.tag_concurrency_limits
        if limit["key"] == CLT_TAG_KEY and isinstance(limit.get("value"), str)
    }
    replaced = instance_concurrency_settings(instance).get("max_concurrent_runs")
    return QueueState(
        settings=settings,
        max_concurrent_runs=replaced if isinstance(replaced, int) else settings.max_concurrent_runs,
        counts=counts,
        live=live,
        limits={
            name: resolve(name, settings.code_location_limits, live, settings.tag_concurrency_limits)
            for name in names
        },
    )
