"""PostgreSQL keeps the times of runs in the session's time zone, which need not be UTC."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from clt_queued_run_coordinator.operate import counts, stored_run
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.transaction import reading
from dagster import DagsterRunStatus
from tests.postgresql import PostgreSQL
from tests.run_queue import A, postgresql_run_queue

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles", "Asia/Kolkata"])
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
            oldest = counts.read(connection).of(A).oldest
        assert oldest is not None
        assert timedelta(0) <= now - oldest < MINUTE
        (stored,) = stored_run.find_runs(queue.instance, first)
        assert abs(stored.created - oldest) < timedelta(seconds=1)
        assert queue.tick_ids() == [first]
        (urgent,) = queue.queue(A, 1, priority=5)
        queue.end(A)
        assert queue.tick_ids() == [urgent]
        assert queue.run(second).status is DagsterRunStatus.QUEUED
