"""Rows of a tag that two writers doubled: people are shown runs, not rows."""

import json

from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunTagsTable
from tests.command_line.conftest import Home
from tests.run_queue import A


def test_status_counts_runs(home: Home) -> None:
    """Queued ones and those in progress, of the code location and altogether."""
    queue = home.queue()
    run_ids = [*queue.queue(A, 2), *queue.put(A, DagsterRunStatus.STARTED, 1, tag=A)]
    with queue.storage.connect() as connection:
        rows = [{"run_id": run_id, "key": CLT_TAG_KEY, "value": A} for run_id in run_ids]
        connection.execute(RunTagsTable.insert(), rows)
    data = json.loads(home.run("status", "--output", "json").out)
    assert (data["queued"], data["in_progress"]) == (2, 1)
    assert [(line["queued"], line["in_progress"]) for line in data["code_locations"]] == [(2, 1)]
