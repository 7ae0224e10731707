"""PostgreSQL keeps the times of runs in the session's time zone, which need not be UTC."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from clt_queued_run_coordinator._dagster import QUEUE_DAEMON
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.operate import counts, stored_run
from clt_queued_run_coordinator.operate.explanation import explain
from clt_queued_run_coordinator.page.readings import Readings
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.transaction import reading
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunsTable
from dagster._daemon.types import DaemonHeartbeat
from tests.in_process.test_start_estimate import MINUTE as A_MINUTE_EACH
from tests.in_process.test_start_estimate import finish
from tests.postgresql import PostgreSQL
from tests.run_queue import A, postgresql_run_queue

MINUTE = timedelta(minutes=1)
in_every_zone = pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles", "Asia/Kolkata"])


@in_every_zone
def test_ages_and_changes_are_right_in_every_time_zone(
    postgresql: PostgreSQL, new_database: Callable[[], str], zone: str
) -> None:
    """The age of the oldest run, the time that a run is told to be created, how long it waited, a new priority."""
    url = new_database()
    postgresql.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET timezone TO '{zone}'")
    with postgresql_run_queue(url, {"max_concurrent_runs": 1}, {}) as queue:
        first, second = queue.queue(A, 2)
        with reading(queue.instance) as connection:
            now = live.read(connection).read_at
            oldest = counts.read(connection, [DagsterRunStatus.QUEUED])[A].oldest
        assert oldest is not None
        assert timedelta(0) <= now - oldest < MINUTE
        (stored,) = stored_run.find_runs(queue.instance, first)
        assert abs(stored.created - oldest) < timedelta(seconds=1)
        assert queue.tick_ids() == [first]
        (urgent,) = queue.queue(A, 1, priority=5)
        queue.end(A)
        assert queue.tick_ids() == [urgent]
        assert queue.run(second).status is DagsterRunStatus.QUEUED


@in_every_zone
def test_what_a_tick_is_launching_is_known_in_every_time_zone(
    postgresql: PostgreSQL, new_database: Callable[[], str], zone: str
) -> None:
    """Also where the daemon didn't store it, as earlier versions: it is what has changed since the tick began."""
    url = new_database()
    postgresql.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET timezone TO '{zone}'")
    with postgresql_run_queue(url, {}, {}) as queue:
        with queue.storage.connect() as connection:
            daemon_state.write(connection, daemon_state.DaemonState(at=time.time() - 100, reading_seconds=0.1))
        queue.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), QUEUE_DAEMON, "test", []))
        earlier, launching = queue.put(A, DagsterRunStatus.STARTING, 2)
        with queue.storage.connect() as connection:
            changed = datetime.now(timezone.utc) - timedelta(hours=1)
            is_it = RunsTable.c.run_id == earlier
            connection.execute(RunsTable.update().where(is_it).values(update_timestamp=changed))
        (stored,) = stored_run.find_runs(queue.instance, *queue.queue(A, 1))
        explanation = explain(queue.instance, queue.coordinator, stored)
        assert explanation
        (blocker,) = explanation.held_by
        assert blocker.what.endswith("it is launching 1 run")
        (holder,) = blocker.holders
        assert holder.run_id == launching
        assert abs(datetime.now(timezone.utc) - datetime.fromisoformat(holder.since or "")) < MINUTE


@in_every_zone
def test_the_page_estimates_starts_behind_a_launch_in_every_time_zone(
    postgresql: PostgreSQL, new_database: Callable[[], str], zone: str
) -> None:
    """A run that is being launched has a slot since its last change, whose time is in the session's zone."""
    url = new_database()
    postgresql.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET timezone TO '{zone}'")
    with postgresql_run_queue(url, {"code_location_limits": {"default": 1}}, {}) as queue:
        finish(queue, A, A_MINUTE_EACH)
        queue.put(A, DagsterRunStatus.STARTING)
        queue.queue(A, 2)
        queue.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), QUEUE_DAEMON, "test", []))
        found = Readings(lambda: (queue.instance, queue.coordinator)).code_location(A).value
        assert found
        assert found.first
        (second,) = found.first.beside.values()
        assert second.earliest_seconds is not None
        assert second.latest_seconds is not None
        assert second.earliest_seconds <= 120 + 5 <= second.latest_seconds <= 200
