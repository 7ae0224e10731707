"""Whether the queue is read can be told from outside of the daemon."""

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from clt_queued_run_coordinator.daemon import last_tick
from clt_queued_run_coordinator.daemon.last_tick import KEY, LastTick
from dagster import DagsterRunStatus
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, RunQueue

MakeRunQueue = Callable[..., RunQueue]


def _read(queue: RunQueue) -> LastTick | None:
    with queue.storage.connect() as connection:
        return last_tick.read(connection)


@on_one_storage
@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"max_concurrent_runs": 1}, id="narrowed"),
        pytest.param({"max_concurrent_runs": -1}, id="no limits"),
    ],
)
@pytest.mark.parametrize("saturated", [False, True])
def test_each_tick_that_reads_the_queue_is_seen(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], saturated: bool
) -> None:
    """Its moment, and how long this package's part of it took."""
    monkeypatch.setattr(last_tick, "STORE_INTERVAL_SECONDS", 0)
    queue = run_queue(**config)
    assert _read(queue) is None
    if saturated:
        queue.put(A, DagsterRunStatus.STARTED)
    before = time.time()
    for _ in range(2):
        queue.tick()
        tick = _read(queue)
        assert tick
        assert before - 0.001 <= tick.at <= time.time()
        assert 0 < tick.reading_seconds < tick.at - before + 0.01
        before = tick.at


@on_one_storage
def test_a_tick_that_fails_is_not_seen(run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster's heartbeat of the daemon goes on all the same."""
    monkeypatch.setattr(last_tick, "STORE_INTERVAL_SECONDS", 0)
    queue = run_queue(max_concurrent_runs=1)
    queue.tick()
    seen = _read(queue)
    with mock.patch.object(queue.storage, "get_run_records", side_effect=ConnectionError):
        with pytest.raises(ConnectionError):
            queue.tick()
        assert _read(queue) == seen
    queue.tick()
    assert _read(queue) != seen


@on_one_storage
def test_ticks_in_quick_succession_are_stored_now_and_then(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one at once."""
    monkeypatch.setattr(last_tick, "STORE_INTERVAL_SECONDS", 3600)
    queue = run_queue()
    queue.tick()
    seen = _read(queue)
    assert seen
    queue.tick()
    assert _read(queue) == seen


@on_one_storage
@pytest.mark.parametrize(
    "stored",
    ["", "null", "[]", "{}", '{"at": "NaN", "reading_seconds": 1}', '{"at": 1}', '{"at": null}', "[" * 9999],
)
def test_what_can_not_be_understood_is_no_tick(run_queue: MakeRunQueue, stored: str) -> None:
    """Somebody else has written there; the next daemon writes over it."""
    queue = run_queue()
    queue.instance.daemon_cursor_storage.set_cursor_values({KEY: stored})
    assert _read(queue) is None
    queue.tick()
    assert _read(queue)
