"""What else holds a queued run: Dagster's own checks of tag limits and pools, made before the daemon makes them.

Dagster counts a run against its tag limits before it asks the pools (dagster issue 25743), so a run that waits
for a pool uses up the limit of its code location for the rest of the page. Asked here first, by Dagster's own
counters, such a run is not shown to the daemon at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from clt_queued_run_coordinator._dagster import (
    DagsterInstance,
    DagsterRun,
    RunRecord,
    TagConcurrencyLimitsCounter,
    new_pool_counter,
    restricted_to_pool,
)


class DagsterChecks:
    """Dagster's checks of one tick.

    Args:
        instance: Whose pools.
        tag_limits: Dagster's own tag limits, without those on single code locations.
        in_progress: The runs in progress.
    """

    def __init__(
        self, instance: DagsterInstance, tag_limits: Sequence[Mapping[str, Any]], in_progress: Sequence[RunRecord]
    ) -> None:
        self._instance = instance
        self._in_progress = in_progress
        self._tag_limits = tag_limits
        self._tags = TagConcurrencyLimitsCounter(
            [dict(limit) for limit in tag_limits], [record.dagster_run for record in in_progress]
        )
        self._pools: Any = None
        self._needing: dict[str, DagsterRun] = {}
        self._started: list[DagsterRun] = []

    def load_pools(self, runs: Iterable[DagsterRun]) -> None:
        """Read what is free in the pools that these runs need. Call it before `try_start`."""
        needing = {pool: run for run in runs for pool in pools_of(run) if pool not in self._needing}
        if not needing or not self._reads_pools:
            return
        self._needing |= needing
        # A counter learns of a pool only from the runs that it is made with, so it is made anew.
        self._pools = new_pool_counter(self._instance, list(self._needing.values()), self._in_progress)
        for run in self._started:
            self._pools.update_counters_with_launched_item(run)

    def try_start(self, run: DagsterRun) -> bool:
        """Whether a run can start beside those that could before it; if so, it counts from now on."""
        if self._tags.is_blocked(run) or (self._pools and self._pools.is_blocked(run)):
            return False
        self._tags.update_counters_with_launched_item(run)
        self._started.append(run)
        if self._pools:
            self._pools.update_counters_with_launched_item(run)
        return True

    def full_tag_limits(self, run: DagsterRun) -> list[Mapping[str, Any]]:
        """The tag limits that hold a run now, each by itself, beside those that could start."""
        counting = [*(record.dagster_run for record in self._in_progress), *self._started]
        # Of two entries for the same thing the last one holds, as in Dagster's counter of all of them.
        entries = {(entry["key"], str(entry.get("value"))): entry for entry in self._tag_limits}
        return [
            entry
            for entry in entries.values()
            if TagConcurrencyLimitsCounter([dict(entry)], counting).is_blocked(run)
        ]

    def full_pools(self, run: DagsterRun) -> list[str]:
        """The pools that hold a run now, each by itself; empty where it can start.

        To be called after `load_pools` was told of the run.
        """
        if not self._pools or not self._pools.is_blocked(run):
            return []
        return sorted(pool for pool in pools_of(run) if self._pools.is_blocked(restricted_to_pool(run, pool)))

    @cached_property
    def _reads_pools(self) -> bool:
        queue = self._instance.get_concurrency_config().run_queue_config
        return bool(queue and queue.should_block_op_concurrency_limited_runs)


def pools_of(run: DagsterRun) -> set[str]:
    """The pools that a run's ops need."""
    needs = run.run_op_concurrency
    return {*needs.root_key_counts, *(needs.all_pools or ())} if needs else set()
