"""The tag is written as Dagster itself would write it."""

from collections.abc import Callable
from typing import Any

import pytest
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.store.tag_writing import write_tags
from dagster import DagsterInstance
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]


def _stored(instance: DagsterInstance, run_id: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The row of a run without its id and times, and its tags."""
    storage = instance.run_storage
    assert isinstance(storage, SqlRunStorage)
    with storage.connect() as connection:
        row = dict(connection.execute(RunsTable.select().where(RunsTable.c.run_id == run_id)).mappings().one())
        tags = connection.execute(RunTagsTable.select().where(RunTagsTable.c.run_id == run_id)).mappings().all()
    body = str(row.pop("run_body")).replace(run_id, "the run")
    times = {key for key in row if key.endswith(("timestamp", "_time"))}
    columns = {key: value for key, value in row.items() if key not in {"id", "run_id", *times}}
    return {**columns, "run_body": body}, sorted((tag["key"], tag["value"]) for tag in tags)


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param({}, id="none before"),
        pytest.param({"team": "red"}, id="another tag before"),
        pytest.param({CLT_TAG_KEY: B, "team": "red"}, id="another value before"),
        pytest.param({"dagster/partition": "p", "dagster/partition_set": "s"}, id="of a partition"),
    ],
)
def test_what_is_stored_is_what_dagster_would_store(run_queue: MakeRunQueue, tags: dict[str, str]) -> None:
    """Compared with add_run_tags: on a Dagster version that stores more, this fails."""
    queue = run_queue()
    ours, dagsters = (queue.create(A, tags=tags) for _ in range(2))
    write_tags(queue.instance, {ours.run_id: A})
    queue.instance.add_run_tags(dagsters.run_id, {CLT_TAG_KEY: A})
    assert _stored(queue.instance, ours.run_id) == _stored(queue.instance, dagsters.run_id)
