"""Which runs start first: in Dagster's own order."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus, QueuedRunCoordinator
from dagster._core.storage.tags import PRIORITY_TAG
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.run_queue import A, B, RunQueue, ephemeral_run_queue

MakeRunQueue = Callable[..., RunQueue]
NAMES = [A, B, "code-location-c"]

in_both_orders = pytest.mark.parametrize("sharing", ["fifo", "fair"])


@in_both_orders
def test_a_priority_that_is_raised_while_a_run_waits_is_followed(run_queue: MakeRunQueue, sharing: str) -> None:
    """At the very next tick, also where earlier ticks have seen the run with its old one."""
    queue = run_queue(max_concurrent_runs=1, code_location_limits={"default": 1, "sharing": sharing})
    first, *_, last = queue.queue(A, 5)
    assert queue.tick_ids() == [first]
    assert queue.tick_ids() == []
    queue.instance.add_run_tags(last, {PRIORITY_TAG: "5"})
    queue.end(A)
    assert queue.tick_ids() == [last]


@pytest.mark.parametrize("priority", ["high", "", "1.5"])
def test_a_priority_that_is_no_number_counts_as_none(run_queue: MakeRunQueue, priority: str) -> None:
    """As in Dagster: after a higher and before a lower one, by age among those without."""
    queue = run_queue(code_location_limits={"locations": {A: 1}})
    lower, *_ = queue.queue(A, 1, priority=-1)
    invalid, *_ = queue.queue(A, 1, tags={PRIORITY_TAG: priority})
    without, *_ = queue.queue(A, 1)
    higher, *_ = queue.queue(A, 1, priority=1)
    assert _starts_one_by_one(queue, 4) == [higher, invalid, without, lower]


@pytest.mark.parametrize("priority", [" 7 ", "1_0", "9" * 25])
def test_a_priority_is_whatever_dagster_takes_for_one(run_queue: MakeRunQueue, priority: str) -> None:
    """Python reads more than digits as a number, and numbers that no column of a database holds."""
    queue = run_queue(code_location_limits={"locations": {A: 1}})
    lower, *_ = queue.queue(A, 1, priority=5)
    higher, *_ = queue.queue(A, 1, tags={PRIORITY_TAG: priority})
    assert _starts_one_by_one(queue, 2) == [higher, lower]


def _starts_one_by_one(queue: RunQueue, starts: int) -> list[str]:
    started: list[str] = []
    for _ in range(starts):
        started += queue.tick_ids()
        queue.end(A)
    return started


@contextmanager
def stock_run_queue(config: Mapping[str, Any]) -> Iterator[RunQueue]:
    """A queue with Dagster's own coordinator."""
    with ephemeral_run_queue({}, {}) as queue:
        queue.instance._run_coordinator = QueuedRunCoordinator(**config)
        queue.instance._run_coordinator.register_instance(queue.instance)
        yield queue


names = st.sampled_from(NAMES)
priorities = st.none() | st.integers(-2, 2).map(str) | st.just("high")


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(
    queued=st.lists(st.tuples(names, priorities), max_size=15),
    in_progress=st.lists(names, max_size=4),
    limits=st.dictionaries(names, st.integers(0, 5)),
    total=st.integers(1, 10) | st.just(-1),
    ends=st.lists(names, max_size=6),
)
def test_without_sharing_the_order_is_dagsters(
    queued: list[tuple[str, str | None]],
    in_progress: list[str],
    limits: dict[str, int],
    total: int,
    ends: list[str],
) -> None:
    """The ids that each of three ticks starts, compared with those of Dagster's coordinator on the same queue."""
    tag_limits = [{"key": CLT_TAG_KEY, "value": name, "limit": limit} for name, limit in limits.items()]
    with (
        ephemeral_run_queue(
            {"max_concurrent_runs": total, "code_location_limits": {"locations": limits}}, {}
        ) as ours,
        stock_run_queue({"max_concurrent_runs": total, "tag_concurrency_limits": tag_limits}) as stock,
    ):
        for queue in (ours, stock):
            for name in in_progress:
                queue.put(name, DagsterRunStatus.STARTING, tag=name)
        for name, priority in queued:
            tags = {CLT_TAG_KEY: name} | ({PRIORITY_TAG: priority} if priority is not None else {})
            run = ours.create(name, status=DagsterRunStatus.QUEUED, tags=tags)
            stock.create(name, status=DagsterRunStatus.QUEUED, tags=tags, run_id=run.run_id)
        for turn in range(3):
            assert ours.tick_ids() == stock.tick_ids()
            for name in ends[turn::3]:
                if stock.in_progress(name):
                    stock.end(name)
                    ours.end(name)
