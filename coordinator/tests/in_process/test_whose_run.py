"""A run belongs to the code location of its origin, whatever its tags say."""

from collections.abc import Callable

import pytest
import sqlalchemy as db
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.operate import counts, lookup, names
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.transaction import reading
from clt_queued_run_coordinator.submit.max_queued import QueueFullError
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]
NAMES = [A, "x@y", "50% of 'it'_/\"ß\"", "a\nb", "日本", A.upper()]
LIES = [f"repository@{B}", "no at sign", "several@at@signs", "@", "", f"repository@{B}\n", "repository@%"]


def counted(queue: RunQueue, status: DagsterRunStatus = DagsterRunStatus.QUEUED) -> dict[str, int]:
    """The runs in a status, as `status` and `drain` count them."""
    with reading(queue.instance) as connection:
        return {name: count.runs for name, count in counts.read(connection, [status]).items()}


def labels(queue: RunQueue, run_id: str) -> list[str]:
    """The labels of a run in its rows."""
    of_run = RunTagsTable.c.run_id == run_id, RunTagsTable.c.key == REPOSITORY_LABEL_TAG
    with queue.storage.connect() as connection:
        return list(connection.execute(db.select(RunTagsTable.c.value).where(*of_run)).scalars())


@pytest.mark.parametrize("name", NAMES)
def test_a_false_label_is_overwritten_at_the_submit(
    run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """In the body and in the row, with a warning."""
    queue = run_queue()
    for lie in LIES:
        run = queue.submit(name, {REPOSITORY_LABEL_TAG: lie, CLT_TAG_KEY: B})
        assert run.tags[REPOSITORY_LABEL_TAG] == f"repository@{name}"
        assert labels(queue, run.run_id) == [f"repository@{name}"]
        assert queue.tag_rows(run.run_id) == [name]
        assert f"Run {run.run_id} carried the tag {REPOSITORY_LABEL_TAG}" in caplog.text
    assert counted(queue) == {name: len(LIES)}
    assert names.of_all_runs(queue.instance) == {name}


def test_no_run_gets_past_its_own_max_queued_nor_fills_anothers(run_queue: MakeRunQueue) -> None:
    """Neither by Dagster's label nor by this package's tag."""
    queue = run_queue(code_location_limits={"default": {"max_queued": 2}})
    for _ in range(2):
        queue.submit(A, {REPOSITORY_LABEL_TAG: f"repository@{B}", CLT_TAG_KEY: B})
    with pytest.raises(QueueFullError, match=A):
        queue.submit(A, {REPOSITORY_LABEL_TAG: f"repository@{B}"})
    queue.queue(B, 2)
    with pytest.raises(QueueFullError, match=B):
        queue.submit(B)


@pytest.mark.parametrize("lie", LIES)
def test_a_run_that_came_past_the_coordinator_counts_for_its_origin(run_queue: MakeRunQueue, lie: str) -> None:
    """Queued and in progress, before any tick has put its tags right; and a tick does."""
    queue = run_queue(code_location_limits={"locations": {A: {"limit": 1, "max_queued": 2}}})
    live.pause(queue.instance, B)
    tags = {REPOSITORY_LABEL_TAG: lie}
    run_id = queue.create(A, status=DagsterRunStatus.QUEUED, tags=tags).run_id
    queue.create(A, status=DagsterRunStatus.STARTED, tags={**tags, CLT_TAG_KEY: B})
    assert counted(queue) == counted(queue, DagsterRunStatus.STARTED) == {A: 1}
    assert lookup.runs_of_job(queue.instance, "job", A) == [run_id]
    queue.submit(A)
    with pytest.raises(QueueFullError):
        queue.submit(A)
    assert queue.tick() == {}
    assert labels(queue, run_id) == [f"repository@{A}"]
    assert queue.run(run_id).tags[REPOSITORY_LABEL_TAG] == f"repository@{A}"


def test_a_run_starts_though_its_tags_name_a_paused_code_location(run_queue: MakeRunQueue) -> None:
    """And the other way round one doesn't start."""
    queue = run_queue()
    live.pause(queue.instance, B)
    queue.create(A, status=DagsterRunStatus.QUEUED, tags={REPOSITORY_LABEL_TAG: f"r@{B}", CLT_TAG_KEY: B})
    queue.create(B, status=DagsterRunStatus.QUEUED, tags={REPOSITORY_LABEL_TAG: f"r@{A}", CLT_TAG_KEY: A})
    assert queue.tick() == {A: 1}


def test_a_run_without_an_origin_invents_no_code_location(run_queue: MakeRunQueue) -> None:
    """As `dagster job execute` makes it, with whatever tags."""
    queue = run_queue()
    tags = {REPOSITORY_LABEL_TAG: "repository@invented", CLT_TAG_KEY: "invented"}
    queue.create(None, status=DagsterRunStatus.STARTED, tags=tags)
    queue.create(None, status=DagsterRunStatus.SUCCESS, tags=tags)
    assert counted(queue, DagsterRunStatus.STARTED) == {NO_CODE_LOCATION: 1}
    assert names.of_all_runs(queue.instance) == set()


def test_a_name_is_known_however_many_others_claim_it(run_queue: MakeRunQueue) -> None:
    """Runs without an origin that carry the tag hide no run that came from there."""
    queue = run_queue()
    liar = queue.create(None, status=DagsterRunStatus.SUCCESS, tags={CLT_TAG_KEY: A}).run_id
    queue.copy(liar, names.LOOKED_AT + 1)
    queue.put(A, DagsterRunStatus.SUCCESS, tag=A)
    queue.copy(liar, names.LOOKED_AT + 1)
    assert names.of_all_runs(queue.instance) == {A}


@pytest.mark.parametrize("body", ["", "{", "null", "[" * 10_000, '{"__class__": "OfAnotherVersion"}'])
def test_a_body_that_cannot_be_read_stops_nothing(run_queue: MakeRunQueue, body: str) -> None:
    """Such a run belongs to nobody as soon as its rows leave a doubt, and the others are counted and submitted."""
    queue = run_queue(code_location_limits={"default": {"max_queued": 2}})
    run_id = queue.create(A, status=DagsterRunStatus.QUEUED, tags={REPOSITORY_LABEL_TAG: f"r@{B}"}).run_id
    with queue.storage.connect() as connection:
        connection.execute(RunsTable.update().where(RunsTable.c.run_id == run_id).values(run_body=body))
        connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id == run_id))
    queue.queue(A, 2)
    assert counted(queue) == {A: 2, NO_CODE_LOCATION: 1}
    with pytest.raises(QueueFullError):
        queue.submit(A)
