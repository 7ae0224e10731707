"""Whatever is queued and in progress, a run is said to start at the next tick exactly if it does."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any
from unittest import mock

import pytest
import time_machine
from clt_queued_run_coordinator._dagster import QUEUE_DAEMON
from clt_queued_run_coordinator.operate.explanation import Explanation, explain
from clt_queued_run_coordinator.operate.stored_run import find_runs
from clt_queued_run_coordinator.store import database_clock, live
from clt_queued_run_coordinator.submit.size import RunTooLargeError
from dagster._daemon.types import DaemonHeartbeat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.run_queue import A, B, RunQueue, ephemeral_run_queue

C = "code-location-c"
NAMES = [A, B, C]
TAGS = {
    "tag": {"database": "yes"},
    "backfill": {"dagster/backfill": "bf"},
    "two slots": {"slots": "2"},
    "three slots": {"slots": "3"},
}
Runs = list[tuple[str, str, int]]
"""The code location of each, what it needs, and its priority."""
LIMITS: dict[str, Any] = {
    "default": 2,
    "locations": {A: {"limit": 3, "max_per_backfill": 2}, B: {"limit": 2, "weight": 2, "min": 1}},
    "groups": {"team": {"locations": [A, C], "limit": 4}},
}

names = st.sampled_from(NAMES)
needs = st.sampled_from(["nothing", "nothing", "tag", "pool", "backfill", "two slots", "three slots"])
queued = st.lists(st.tuples(names, needs, st.integers(-1, 1)), min_size=1, max_size=10)


@pytest.mark.parametrize("slot", [None, {"cpu": 1}])
@pytest.mark.parametrize("sharing", ["fifo", "fair"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    total=st.integers(1, 6),
    runs=st.tuples(queued, queued),
    ends=st.lists(names, max_size=3),
    paused=st.none() | names,
    seconds=st.sampled_from([0, 40, 300]),
)
def test_what_is_said_to_start_is_what_starts(
    sharing: str,
    slot: Any,
    *,
    total: int,
    runs: tuple[Runs, Runs],
    ends: list[str],
    paused: str | None,
    seconds: int,
) -> None:
    """Of each queued run, with each kind of limit, a pool and a pause, so many seconds after a tick."""
    with _limited_queue(total, sharing, slot) as queue, _clocks() as clocks:
        waiting = _queue(queue, runs[0]) - set(queue.tick_ids())
        for name in ends:
            if queue.in_progress(name):
                queue.end(name)
        if paused:
            live.pause(queue.instance, paused)
        waiting |= _queue(queue, runs[1])
        clocks.shift(seconds)
        queue.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), QUEUE_DAEMON, "test", []))
        said = {run_id for run_id in waiting if _starts(queue, run_id)}
        assert said == set(queue.tick_ids())


@pytest.mark.parametrize("slot", [None, {"cpu": 1}])
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(total=st.integers(2, 8), runs=st.tuples(queued, queued), sharing=st.sampled_from(["fifo", "fair"]))
def test_a_limit_that_is_advised_is_the_smallest_that_lets_the_run_start(
    sharing: str, slot: Any, total: int, runs: tuple[Runs, Runs]
) -> None:
    """Of each queued run that only the limit of its code location holds."""
    with _limited_queue(total, sharing, slot) as queue:
        waiting = _queue(queue, runs[0]) - set(queue.tick_ids()) | _queue(queue, runs[1])
        queue.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), QUEUE_DAEMON, "test", []))
        for run_id in waiting:
            held_by = _explained(queue, run_id).held_by
            (cure,) = [blocker.cure for blocker in held_by if blocker.kind == "limit"] or [""]
            advised = re.search(r"set-limit (\S+) (\d+)", cure)
            if not advised or {blocker.kind for blocker in held_by} - {"limit", "order", "share"}:
                continue
            name, enough = advised[1], int(advised[2])
            live.set_limit(queue.instance, name, enough)
            assert _starts(queue, run_id)
            live.set_limit(queue.instance, name, enough - 1)
            assert not _starts(queue, run_id)
            live.clear_limit(queue.instance, name)


@contextmanager
def _clocks() -> Iterator[time_machine.Traveller]:
    """This process's clock and the database's, to set forward."""
    with (
        time_machine.travel(datetime.now(timezone.utc)) as clocks,
        mock.patch.object(database_clock, "moment", side_effect=lambda _: datetime.now(timezone.utc)),
    ):
        yield clocks


@contextmanager
def _limited_queue(total: int, sharing: str, slot: Any) -> Iterator[RunQueue]:
    """A queue with every kind of limit: on code locations, a group, a tag, a pool and in total."""
    options: dict[str, Any] = {
        "max_concurrent_runs": total,
        "tag_concurrency_limits": [{"key": "database", "limit": 1}],
        "code_location_limits": {**LIMITS, "sharing": sharing, "slot": slot},
    }
    with ephemeral_run_queue(options, {"pools": {"granularity": "run"}}) as queue:
        queue.instance.event_log_storage.set_concurrency_slots("slots", 2)
        yield queue


def _queue(queue: RunQueue, runs: Runs) -> set[str]:
    queued = set()
    for name, need, priority in runs:
        with suppress(RunTooLargeError):
            pool = "slots" if need == "pool" else None
            queued |= {*queue.queue(name, priority=priority, pool=pool, tags=TAGS.get(need, {}))}
    return queued


def _explained(queue: RunQueue, run_id: str) -> Explanation:
    (stored,) = find_runs(queue.instance, run_id)
    explanation = explain(queue.instance, queue.coordinator, stored)
    assert explanation
    assert (explanation.starts_within_seconds is None) == bool(explanation.held_by)
    return explanation


def _starts(queue: RunQueue, run_id: str) -> bool:
    # Between two ticks that are far apart it is told that the daemon hasn't ticked for long.
    return {blocker.kind for blocker in _explained(queue, run_id).held_by} <= {"tick"}
