"""Dagster's own checks of tag limits and pools, made before the daemon makes them.

The daemon counts a run against its tag limits before it checks the pools (dagster issue 25743). So a run that
waits for a pool would use up the limit of its code location for the rest of the page. Here Dagster's own
counters check each run first, and such a run isn't shown to the daemon at all.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from clt_queued_run_coordinator._dagster import (
    DagsterInstance,
    DagsterRun,
    TagConcurrencyLimitsCounter,
    new_pool_counter,
    pools_of,
    restricted_to_pool,
)
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.tag_limits import other_tag_limits


@dataclass(frozen=True)
class Needs:
    """What a run needs of tag limits and pools, as a run that has nothing else. The key tells needs apart."""

    key: Hashable
    run: DagsterRun = field(compare=False, repr=False)


class DagsterChecks:
    """Dagster's checks of one tick, without its tag limits on single code locations."""

    def __init__(self, instance: DagsterInstance, state: QueueState) -> None:
        self._instance = instance
        self._in_progress = state.in_progress
        self._tag_limits = other_tag_limits(state.settings.tag_concurrency_limits)
        self._limited_tags = {limit["key"] for limit in self._tag_limits}
        self._tags = TagConcurrencyLimitsCounter(
            self._tag_limits, [record.dagster_run for record in state.in_progress]
        )
        self._pools: Any = None
        self._needing: dict[str, DagsterRun] = {}
        self._started: list[DagsterRun] = []
        self._held: set[Needs] = set()

    def load_pools(self, runs: Iterable[DagsterRun]) -> None:
        """Read what is free in the pools that these runs need. Call it before `hold`."""
        needing = {pool: run for run in runs for pool in pools_of(run) if pool not in self._needing}
        if not needing or not self._reads_pools:
            return
        self._needing |= needing
        # A counter knows only the pools of the runs it is created with, so a new one is needed.
        self._pools = new_pool_counter(self._instance, list(self._needing.values()), self._in_progress)
        for run in self._started:
            self._pools.update_counters_with_launched_item(run)

    def needs_of(self, run: DagsterRun) -> Needs:
        """What a run needs."""
        tags = {key: value for key, value in run.tags.items() if key in self._limited_tags}
        pools = run.run_op_concurrency
        of_pools = pools and (
            frozenset(pools.root_key_counts.items()),
            pools.has_unconstrained_root_nodes,
            frozenset(pools.all_pools or ()),
        )
        slim = DagsterRun(job_name=run.job_name, run_id=run.run_id, tags=tags, run_op_concurrency=pools)
        return Needs((frozenset(tags.items()), of_pools), slim)

    def hold(self, needs: Needs) -> bool:
        """Whether a tag limit or a pool keeps runs with these needs from starting beside those that have started.

        Within a tick nothing becomes free, so what is held once stays held.
        """
        if needs not in self._held and (
            self._tags.is_blocked(needs.run) or (self._pools and self._pools.is_blocked(needs.run))
        ):
            self._held.add(needs)
        return needs in self._held

    def start(self, run: DagsterRun) -> None:
        """Count a run that starts."""
        self._tags.update_counters_with_launched_item(run)
        self._started.append(run)
        if self._pools:
            self._pools.update_counters_with_launched_item(run)

    def full_tag_limits(self, run: DagsterRun) -> list[Mapping[str, Any]]:
        """The tag limits that each hold a run by themselves, with the runs that could start counted."""
        counting = [*(record.dagster_run for record in self._in_progress), *self._started]
        # Of two entries for the same value the last one wins, as in Dagster's own counter.
        entries = {(entry["key"], str(entry.get("value"))): entry for entry in self._tag_limits}
        return [
            entry for entry in entries.values() if TagConcurrencyLimitsCounter([entry], counting).is_blocked(run)
        ]

    def full_pools(self, run: DagsterRun) -> list[str]:
        """The pools that each hold a run by themselves; empty if it can start.

        Call `load_pools` with the run first.
        """
        if not self._pools or not self._pools.is_blocked(run):
            return []
        return sorted(pool for pool in pools_of(run) if self._pools.is_blocked(restricted_to_pool(run, pool)))

    def missing_slots(self, run: DagsterRun) -> dict[str, int]:
        """How many slots more each pool needs that holds a run, so that this one could start; see `full_pools`."""
        missing = {}
        for pool in self.full_pools(run):
            of_pool = self._pools.get_blocked_run_debug_info(restricted_to_pool(run, pool))[pool]
            counts = ["launched_count", "in_progress_count"]
            if of_pool["granularity"] == "op":
                counts.append("pending_step_count")
            in_use: int = sum(of_pool[count] for count in counts)
            missing[pool] = max(1, in_use + 1 - of_pool["slot_count"] - self._queue.op_concurrency_slot_buffer)
        return missing

    @property
    def _reads_pools(self) -> bool:
        return bool(self._queue and self._queue.should_block_op_concurrency_limited_runs)

    @cached_property
    def _queue(self) -> Any:
        return self._instance.get_concurrency_config().run_queue_config
