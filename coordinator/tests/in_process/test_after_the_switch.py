"""The first ticks after the switch from the stock coordinator find a long queue without our tags."""

from collections.abc import Callable

from dagster import DagsterRunStatus
from tests.in_process.statements import Statements
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]
C = "code-location-c"
NAMES = [A, B, C]
RUNS = 500
"""Of each code location."""


def test_a_long_untagged_queue_starts_at_once_and_is_tagged_in_batches(run_queue: MakeRunQueue) -> None:
    """By the statement: one for each run would keep the first tick for minutes with 50,000 of them."""
    queue = run_queue(max_concurrent_runs=5, code_location_limits={"default": 2, "sharing": "fair"})
    run_ids: dict[str, list[str]] = {}
    for name in NAMES:
        (run_id,) = queue.put(name, DagsterRunStatus.QUEUED)
        run_ids[name] = [run_id, *queue.copy(run_id, RUNS - 1)]
    with Statements() as statements:
        started = queue.tick()
    assert sum(started.values()) == 5
    assert max(started.values()) == 2
    assert len(statements.executed) < RUNS
    for _ in range(20):  # not all need be tagged by the first
        assert queue.tick() == {}
        if all(queue.tag_rows(ids[-1]) for ids in run_ids.values()):
            break
    for name, ids in run_ids.items():
        assert [queue.tag_rows(run_id) for run_id in ids[::50]] == [[name]] * len(ids[::50])
        assert {run.tags.get("code_location") for run in map(queue.run, ids[::50])} == {name}
