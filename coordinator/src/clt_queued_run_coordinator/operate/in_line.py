"""The first queued runs of a code location, in the order in which they are tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, RunsTable
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.operate.coming_tick import coming_tick
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.store.database_clock import in_utc, utc
from clt_queued_run_coordinator.store.transaction import reading


@dataclass(frozen=True)
class InLine:
    """A queued run, created in UTC, and whether the daemon's next tick starts it, as far as can be told."""

    storage_id: int
    run_id: str
    job: str
    priority: int
    created: datetime
    starts: bool


def first_in_line(
    instance: DagsterInstance, queue: QueuedRuns, state: QueueState, code_location: str, most: int
) -> Sequence[InLine]:
    """The first queued runs of a code location, of a queue as it was read for `state`.

    `most` is no more than one statement may name.
    """
    first = list(islice(queue.in_order(code_location), most))
    if not first:
        return []
    coming = {run.queued.storage_id for run in coming_tick(instance, queue, state).selected}
    columns = RunsTable.c
    with reading(instance) as connection:
        created_at = in_utc(connection, columns.create_timestamp)
        query = db.select(columns.id, columns.run_id, columns.pipeline_name, created_at)
        rows = connection.execute(query.where(columns.id.in_([run.storage_id for run in first]))).all()
    found = {storage_id: (run_id, job, utc(created)) for storage_id, run_id, job, created in rows}
    return [
        InLine(
            run.storage_id,
            *found[run.storage_id][:2],
            run.priority,
            found[run.storage_id][2],
            run.storage_id in coming,
        )
        for run in first
        if run.storage_id in found
    ]
