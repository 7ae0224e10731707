"""Each run is tagged with its code location before it is queued."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
from clt_queued_run_coordinator.config.tag import PAGE_TAG_KEY
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.store.code_location import RunWithoutCodeLocationError
from dagster import DagsterRun, DagsterRunStatus, QueuedRunCoordinator
from dagster._core.run_coordinator.base import SubmitRunContext
from tests.in_process.statements import Statements
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]


def test_a_run_is_queued_with_its_tag(run_queue: MakeRunQueue) -> None:
    """The tag is in the run and in the table that filters by tag."""
    queue = run_queue()
    run = queue.submit(A)
    assert run.status == DagsterRunStatus.QUEUED
    assert run.tags[CLT_TAG_KEY] == A
    assert (CLT_TAG_KEY, {A}) in queue.instance.get_run_tags([CLT_TAG_KEY])


def test_the_tag_is_written_before_the_run_is_queued(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Dagster's own part begins the run is not queued and carries its tag."""
    queue = run_queue()
    seen = []
    own = QueuedRunCoordinator.submit_run

    def submit_run(self: Any, context: SubmitRunContext) -> DagsterRun:
        run = queue.run(context.dagster_run.run_id)
        seen.append((run.status, run.tags.get(CLT_TAG_KEY)))
        return own(self, context)

    monkeypatch.setattr(QueuedRunCoordinator, "submit_run", submit_run)
    queue.submit(A)
    assert seen == [(DagsterRunStatus.NOT_STARTED, A)]


def test_another_value_is_overwritten_with_a_warning(
    run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can move a run out of its code location's limit."""
    queue = run_queue()
    run = queue.submit(A, tags={CLT_TAG_KEY: B})
    assert run.tags[CLT_TAG_KEY] == A
    assert (
        f"Run {run.run_id} carried the tag {CLT_TAG_KEY}: {B!r} but belongs to code location {A!r}" in caplog.text
    )


@pytest.mark.parametrize("default", [{}, {"max_queued": 9}])
def test_a_run_has_the_address_of_its_page(run_queue: MakeRunQueue, default: dict[str, int]) -> None:
    """It is written together with the code location's tag; a retry doesn't keep the address that it copied."""
    queue = run_queue(code_location_limits={"default": default, "page_url": "https://dagster.example.com/queue/"})
    first = queue.submit(A)
    retry = queue.submit(A, tags=first.tags)
    for run in (first, retry):
        assert run.tags[PAGE_TAG_KEY] == f"https://dagster.example.com/queue/run?id={run.run_id}"
        assert (PAGE_TAG_KEY, {run.tags[PAGE_TAG_KEY]}) in queue.instance.get_run_tags(
            [PAGE_TAG_KEY], value_prefix=run.tags[PAGE_TAG_KEY]
        )


def test_other_tags_stay(run_queue: MakeRunQueue) -> None:
    """Only our tag is written."""
    run = run_queue().submit(A, tags={"team": "red"})
    assert run.tags["team"] == "red"


def test_a_run_without_a_code_location_is_refused(run_queue: MakeRunQueue) -> None:
    """The error names the run and the reason, and the run is not queued."""
    queue = run_queue()
    run = queue.create(None)
    workspace: Any = None
    with pytest.raises(
        RunWithoutCodeLocationError, match=f"Run {run.run_id} can't be queued: it has no code location"
    ):
        queue.coordinator.submit_run(SubmitRunContext(run, workspace))
    assert queue.run(run.run_id).status == DagsterRunStatus.NOT_STARTED


def test_a_run_whose_tag_cannot_be_written_fails_with_the_cause(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never queued untagged; its event log has the cause; the next submit works."""
    queue = run_queue()
    run = queue.create(A)

    def broken(*_: object, **__: object) -> None:
        raise sqlalchemy.exc.OperationalError("INSERT", {}, Exception("the disk is full"))

    workspace: Any = None
    with monkeypatch.context() as patch:
        patch.setattr("clt_queued_run_coordinator.coordinator.write_tags", broken)
        with pytest.raises(sqlalchemy.exc.OperationalError):
            queue.instance.submit_run(run.run_id, workspace)
    assert queue.run(run.run_id).status == DagsterRunStatus.FAILURE
    messages = [str(entry) for entry in queue.instance.all_logs(run.run_id)]
    assert any("the disk is full" in message for message in messages)
    assert queue.submit(A, parent_run_id=run.run_id, root_run_id=run.run_id).status == DagsterRunStatus.QUEUED


def _statements_of_a_submit(queue: RunQueue, *, tags: dict[str, str], plain: bool) -> int:
    queue.submit(A)  # the first one of a process looks up columns
    run = queue.create(A, tags=tags)
    workspace: Any = None
    context = SubmitRunContext(run, workspace)
    with Statements() as statements:
        if plain:
            QueuedRunCoordinator.submit_run(queue.coordinator, context)
        else:
            queue.coordinator.submit_run(context)
    return len(statements.executed)


def test_a_submit_costs_at_most_three_statements_more(run_queue: MakeRunQueue) -> None:
    """Counted against Dagster's own coordinator on the same database."""
    queue = run_queue()
    plain = _statements_of_a_submit(queue, tags={}, plain=True)
    assert _statements_of_a_submit(queue, tags={}, plain=False) <= plain + 3


def test_nothing_is_written_where_the_tag_is_right(run_queue: MakeRunQueue) -> None:
    """A re-execution carries its parent's tag already."""
    queue = run_queue()
    plain = _statements_of_a_submit(queue, tags={}, plain=True)
    assert _statements_of_a_submit(queue, tags={CLT_TAG_KEY: A}, plain=False) == plain
