"""Whether the queue is read can be told from outside of the daemon."""

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from clt_queued_run_coordinator.daemon import readers
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.daemon.state import KEY, DaemonState, LastTick
from dagster import DagsterRunStatus
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, RunQueue

MakeRunQueue = Callable[..., RunQueue]


def _stored(queue: RunQueue) -> DaemonState:
    with queue.storage.connect() as connection:
        return daemon_state.read(connection)


def _read(queue: RunQueue) -> LastTick | None:
    return _stored(queue).last_tick


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
    monkeypatch.setattr(daemon_state, "STORE_INTERVAL_SECONDS", 0)
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
    monkeypatch.setattr(daemon_state, "STORE_INTERVAL_SECONDS", 0)
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
    monkeypatch.setattr(daemon_state, "STORE_INTERVAL_SECONDS", 3600)
    queue = run_queue()
    queue.tick()
    seen = _read(queue)
    assert seen
    queue.tick()
    assert _read(queue) == seen


@on_one_storage
def test_a_daemon_that_starts_runs_at_each_tick_says_that_it_reads_the_queue(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these ticks stores the daemon's state, so none of them waits for the interval to be over."""
    monkeypatch.setattr(readers, "TOLD_EVERY_SECONDS", 0)
    queue = run_queue(max_concurrent_runs=9)
    said = []
    for _ in range(2):
        queue.queue(A)
        assert queue.tick() == {A: 1}
        with queue.storage.connect() as connection:
            (reader,) = readers.read(connection)
        said.append(reader.at)
    assert said[0] < said[1]


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


@on_one_storage
def test_what_is_being_launched_is_known_until_the_next_tick(run_queue: MakeRunQueue) -> None:
    """The number of runs, the first ones by name, and when the tick began."""
    queue = run_queue(max_concurrent_runs=9)
    run_ids = queue.queue(A, 7)
    before = time.time()
    queue.tick()
    launching = _stored(queue).launching
    assert launching
    assert before - 0.001 <= launching.began <= time.time()
    assert (launching.runs, list(launching.first)) == (7, run_ids[:5])
    queue.tick()
    assert _stored(queue).launching is None


@on_one_storage
def test_credit_is_stored_also_while_nothing_starts(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every slot in use, and with every queued run held."""
    monkeypatch.setattr(daemon_state, "STORE_INTERVAL_SECONDS", 0)
    for total in (1, 5):
        queue = run_queue(max_concurrent_runs=total, code_location_limits={"sharing": "fair", "default": 1})
        queue.queue(A, 2)
        for _ in range(3):
            before = time.time()
            queue.tick()
            assert _stored(queue).credit.at >= before


@on_one_storage
def test_a_state_that_can_not_be_stored_ends_no_tick(
    run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once."""
    queue = run_queue(max_concurrent_runs=9)
    errors = [ConnectionError(f"gone\n[SQL: ...]\n[parameters: {number}]") for number in range(3)]
    with mock.patch.object(daemon_state, "write", side_effect=errors):
        for _ in errors:
            queue.queue(A)
            assert queue.tick() == {A: 1}
    assert sum("Storing the daemon's state failed" in line for line in caplog.messages) == 1
