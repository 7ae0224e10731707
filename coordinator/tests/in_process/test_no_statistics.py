"""PostgreSQL without statistics, as after a restore: nothing goes through the tags of the history."""

import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as db
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.operate import counts, lookup
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.transaction import reading
from clt_queued_run_coordinator.submit.max_queued import QueueCounter
from dagster import DagsterRunStatus
from tests.run_queue import A, B, postgresql_run_queue

FINISHED = 20_000
QUEUED = 400
"""So many that PostgreSQL takes their tags for most of the table."""


def test_the_tags_of_the_history_are_never_read_whole(new_database: Callable[[], str]) -> None:
    """By the plans that PostgreSQL makes; a whole reading takes longer the longer the history is."""
    plans: list[str] = []

    def explain(
        _connection: object, cursor: Any, statement: str, parameters: Any, _context: object, many: bool
    ) -> None:
        if not many and re.search(r"FROM run_tags|JOIN run_tags", statement):
            cursor.execute(f"EXPLAIN {statement}", parameters)
            plans.append("\n".join(line for (line,) in cursor.fetchall()))

    with postgresql_run_queue(new_database(), {}, {}) as queue:
        with queue.storage.connect() as connection:
            for table in ("runs", "run_tags"):
                connection.exec_driver_sql(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        queue.copy(queue.put(A, DagsterRunStatus.SUCCESS, tag=A)[0], FINISHED)
        queue.copy(queue.queue(A, 1)[0], QUEUED - 1)
        queue.put(B, DagsterRunStatus.QUEUED, 3)
        queue.put(B, DagsterRunStatus.STARTED, 3)
        db.event.listen(db.Engine, "before_cursor_execute", explain)
        try:
            with reading(queue.instance) as connection:
                read = QueuedRuns()
                for _ in range(2):
                    read.refresh(connection, live.read(connection).read_at)
                counts.read(connection, [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTED])
                assert not QueueCounter().has_fewer(connection, A, QUEUED)
            lookup.runs_of_job(queue.instance, "job", A)
        finally:
            db.event.remove(db.Engine, "before_cursor_execute", explain)
    assert len(plans) > 4
    for plan in plans:
        assert "Seq Scan on run_tags" not in plan, plan
