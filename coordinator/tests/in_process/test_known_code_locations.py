"""The code locations that runs were ever queued from, read without reading all of the history."""

from collections.abc import Callable

from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.operate import names
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunTagsTable
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]
NAMES = {A, B, A.upper(), " ", "100% 'x'/\"y\"_\\", "é", "è", "日本", "n" * 500}


def test_each_name_is_found_once(run_queue: MakeRunQueue) -> None:
    """Whatever it is made of; other tags and rows without a value are passed by."""
    queue = run_queue()
    assert names.of_all_runs(queue.instance) == set()
    for name in [*NAMES, *NAMES]:
        (run_id,) = queue.put(name, DagsterRunStatus.SUCCESS, tag=name)
    rows: list[tuple[str, str | None]] = [(CLT_TAG_KEY, None), ("another", "tag"), (CLT_TAG_KEY + "s", "no")]
    with queue.storage.connect() as connection:
        for key, value in rows:
            connection.execute(RunTagsTable.insert().values(run_id=run_id, key=key, value=value))
    assert names.of_all_runs(queue.instance) == NAMES
