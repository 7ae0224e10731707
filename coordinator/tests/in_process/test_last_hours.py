"""How many runs waited and ran in the last hours, as the charts of the page show it."""

import random
from datetime import datetime, timezone

import sqlalchemy as db
from clt_queued_run_coordinator._dagster import RunsTable
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.operate import last_hours
from clt_queued_run_coordinator.operate.last_hours import STEP_SECONDS, STEPS
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.transaction import reading
from dagster import DagsterRunStatus
from tests.run_queue import A, B, RunQueue

LIVES = (
    (DagsterRunStatus.SUCCESS, 3),
    (DagsterRunStatus.CANCELED, 2),
    (DagsterRunStatus.STARTED, 1),
    (DagsterRunStatus.STARTING, 0),
    (DagsterRunStatus.QUEUED, 0),
)
"""Statuses, and what became of such a run: it started (1), it ended (2), or both (3)."""


def test_runs_wait_until_they_start_and_run_until_they_end(stored_queue: RunQueue) -> None:
    """Counted run by run, at the end of each step; runs that ended before don't count."""
    queue, chance = stored_queue, random.Random(7)  # noqa: S311 - the same runs at each test
    with reading(queue.instance) as connection:
        now = live.read(connection).read_at
    expected = {kind: {A: [0] * STEPS, B: [0] * STEPS} for kind in ("waiting", "running")}
    since = int(now.timestamp()) // STEP_SECONDS * STEP_SECONDS - (STEPS - 1) * STEP_SECONDS
    for name in (A, B):
        for status, became in LIVES * 6:
            (run_id,) = queue.put(name, status, tag=name)
            created = int(now.timestamp()) - chance.randrange(40_000)
            moments = sorted(chance.randrange(created, int(now.timestamp())) for _ in range(2))
            start, end = moments[0] if became & 1 else None, moments[1] if became & 2 else None
            _set_times(queue, run_id, created, start, end)
            left = start or end
            for step in range(STEPS):
                at = since + step * STEP_SECONDS  # the step in which it happens counts already
                waits = _step(created) <= _step(at) and (left is None or _step(at) < _step(left))
                runs = start is not None and _step(start) <= _step(at) and (end is None or _step(at) < _step(end))
                expected["waiting"][name][step] += waits
                expected["running"][name][step] += runs
    with reading(queue.instance) as connection:
        order = QueuedRuns()
        order.refresh(connection, now)
        found = last_hours.read(connection, now, order.code_locations())
    for name in (A, B):
        assert list(found.waiting[name]) == expected["waiting"][name]
        assert list(found.running[name]) == expected["running"][name]


def _step(moment: int) -> int:
    return moment // STEP_SECONDS


def _set_times(queue: RunQueue, run_id: str, created: int, start: int | None, end: int | None) -> None:
    """As if the run had been created, started and ended then."""

    def stored(moment: int) -> datetime:
        return datetime.fromtimestamp(moment, timezone.utc).replace(tzinfo=None)

    times = {
        "create_timestamp": stored(created),
        "update_timestamp": stored(end or start or created),
        "start_time": start,
        "end_time": end,
    }
    with queue.storage.connect() as connection:
        connection.execute(db.update(RunsTable).where(RunsTable.c.run_id == run_id).values(**times))
