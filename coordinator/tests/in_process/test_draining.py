"""A code location is drained when nothing of it is in progress and nothing more can start."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from unittest import mock

import pytest
from clt_queued_run_coordinator.daemon import acknowledged_pauses
from clt_queued_run_coordinator.operate import draining
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION
from clt_queued_run_coordinator.store import database_clock, live
from dagster import DagsterRunStatus
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from dagster._daemon.types import DaemonHeartbeat
from tests.in_process.statements import Statements
from tests.run_queue import A, B, RunQueue, in_the_middle_of_a_tick

LONG = timedelta(hours=1)
MakeRunQueue = Callable[..., RunQueue]


@pytest.fixture
def queue(run_queue: MakeRunQueue) -> RunQueue:
    """A queue whose daemon is alive."""
    queue = run_queue(max_concurrent_runs=10, code_location_limits={"default": 3})
    beat(queue, time.time())
    return queue


def beat(queue: RunQueue, timestamp: float) -> None:
    """Let the daemon give a sign of life, as its loop does."""
    queue.instance.add_daemon_heartbeat(DaemonHeartbeat(timestamp, queue.daemon.daemon_type(), "id"))


def test_what_a_running_tick_has_chosen_before_the_pause_is_waited_for(queue: RunQueue) -> None:
    """Nothing is in progress when the pause is written, and yet three runs start after it."""
    queue.queue(A, 5)
    looks: list[draining.Draining] = []

    def pause() -> None:
        live.pause(queue.instance, A)
        looks.append(draining.read(queue.instance, [A]))

    with in_the_middle_of_a_tick(queue, pause):
        assert queue.tick() == {A: 3}
    assert looks == [draining.Draining(in_progress=0, resumed=(), is_seen=False, is_silent=False)]
    assert not looks[0].is_drained
    assert draining.read(queue.instance, [A]).in_progress == 3
    assert queue.tick() == {}
    queue.end(A, 3)
    assert draining.read(queue.instance, [A]).is_drained


def test_nothing_in_progress_is_not_enough_until_the_daemon_begins_a_tick(queue: RunQueue) -> None:
    """Also where the same code location was paused and resumed before."""
    live.pause(queue.instance, A)
    queue.tick()
    live.resume(queue.instance, A)
    live.pause(queue.instance, A)
    assert not draining.read(queue.instance, [A]).is_drained
    queue.tick()
    assert draining.read(queue.instance, [A]).is_drained


def test_a_restarted_daemon_goes_by_the_pauses_that_it_finds(queue: RunQueue) -> None:
    """It says so as any other does."""
    live.pause(queue.instance, A)
    again = RunQueue(queue.instance)
    again.tick()
    assert draining.read(queue.instance, [A]).is_drained


def test_a_tick_that_fails_to_write_down_a_pause_does_so_the_next_time(
    queue: RunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failed one starts nothing of the paused code location either."""
    queue.queue(A, 1)
    queue.queue(B, 1)
    live.pause(queue.instance, A)

    def fail(*_: object) -> None:
        raise RuntimeError("the connection is lost")

    with monkeypatch.context() as patch:
        patch.setattr(acknowledged_pauses, "write", fail)
        assert queue.tick() == {B: 1}
    assert not draining.read(queue.instance, [A]).is_drained
    assert queue.tick() == {}
    assert draining.read(queue.instance, [A]).is_drained


def test_without_a_daemon_nothing_can_start(queue: RunQueue) -> None:
    """One that starts later reads the pause first."""
    live.pause(queue.instance, A)
    assert not draining.read(queue.instance, [A]).is_drained
    beat(queue, time.time() - 3600)
    assert draining.read(queue.instance, [A]).is_drained


def test_other_code_locations_do_not_matter_and_the_origin_counts(queue: RunQueue) -> None:
    """Not the tag, which somebody may have written."""
    queue.put(B, DagsterRunStatus.STARTED, 2, tag=A)
    queue.put(None, DagsterRunStatus.STARTED, 1)
    live.pause(queue.instance, A)
    queue.tick()
    assert draining.read(queue.instance, [A]).is_drained
    queue.put(A, DagsterRunStatus.STARTED, 1, tag=B)
    assert draining.read(queue.instance, [A]).in_progress == 1


def test_all_are_drained_when_nothing_of_any_is_in_progress(queue: RunQueue) -> None:
    """One that is resumed meanwhile is told."""
    queue.queue(B, 1)
    queue.tick()
    live.pause(queue.instance, EVERY_CODE_LOCATION, known=[A, B])
    queue.tick()
    assert draining.read(queue.instance, None).in_progress == 1
    queue.end(B, 1)
    assert draining.read(queue.instance, None).is_drained
    live.resume(queue.instance, B)
    assert draining.read(queue.instance, None).resumed == (B,)


def test_a_run_without_a_code_location_is_one_of_all(queue: RunQueue) -> None:
    """As `dagster job execute` makes them."""
    queue.put(None, DagsterRunStatus.STARTED)
    live.pause(queue.instance, EVERY_CODE_LOCATION)
    queue.tick()
    assert draining.read(queue.instance, None).in_progress == 1
    assert not draining.read(queue.instance, None).is_drained
    live.pause(queue.instance, A)
    queue.tick()
    assert draining.read(queue.instance, [A]).is_drained


def test_a_pause_that_ends_meanwhile_is_no_drain(queue: RunQueue) -> None:
    """Nothing is in progress, but more can start; somebody else's longer pause goes on."""
    live.pause(queue.instance, A, LONG)
    live.pause(queue.instance, A, LONG * 2, by="somebody else")
    queue.tick()
    assert draining.read(queue.instance, [A]).is_drained
    with mock.patch.object(database_clock, "moment", return_value=datetime.now(timezone.utc) + LONG * 3):
        left = draining.read(queue.instance, [A])
    assert left.resumed == (A,)
    assert not left.is_drained


def test_the_daemon_writes_down_only_new_pauses(queue: RunQueue) -> None:
    """An idle daemon, and one with a pause that stays, writes nothing of pauses."""

    def written() -> int:
        with Statements() as statements:
            queue.tick()
        return sum(
            "kvs" in statement and statement.startswith(("INSERT", "UPDATE")) for statement in statements.executed
        )

    queue.tick()
    assert written() == 0
    live.pause(queue.instance, A)
    assert written() >= 1
    assert written() == 0
    live.resume(queue.instance, A)
    assert written() == 0


@pytest.mark.parametrize("stored", ["{[broken", "3", '{"a": 1}', '[1, null, ["x"]]'])
def test_what_is_stored_wrong_has_not_been_seen(queue: RunQueue, stored: str) -> None:
    """And the next new pause is written down right again."""
    live.pause(queue.instance, A)
    queue.instance.daemon_cursor_storage.set_cursor_values({acknowledged_pauses.KEY: stored})
    assert not draining.read(queue.instance, [A]).is_seen
    queue.tick()
    assert draining.read(queue.instance, [A]).is_seen


def test_a_run_cannot_hide_under_another_name(queue: RunQueue) -> None:
    """Nor count as another's: a label that a user set is not its origin."""
    for label in (f"r@{B}", "r@", "nothing"):
        queue.create(A, status=DagsterRunStatus.STARTED, tags={REPOSITORY_LABEL_TAG: label})
    for name in (A, B):
        live.pause(queue.instance, name)
    queue.tick()
    assert draining.read(queue.instance, [A]).in_progress == 3
    assert draining.read(queue.instance, [B]).is_drained
