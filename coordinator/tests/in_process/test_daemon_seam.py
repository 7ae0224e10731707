"""The one seam to Dagster's daemon: what it answers, what it leaves alone, and what holds where it doesn't fit."""

import inspect
import logging
import textwrap
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from clt_queued_run_coordinator.daemon import tick
from clt_queued_run_coordinator.operate import now
from clt_queued_run_coordinator.store import live
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._daemon.run_coordinator import queued_run_coordinator_daemon as daemon_module
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._utils.tags import TagConcurrencyLimitsCounter
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]
QUEUED = RunsFilter(statuses=[DagsterRunStatus.QUEUED])
Changes = list[tuple[str, str, str]]
LIMITS = {"default": 2}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the instance's own `get_runs` is asked from here on."""
    calls: list[tuple[Any, ...]] = []
    own = DagsterInstance.get_runs

    def get_runs(instance: DagsterInstance, *args: Any, **kwargs: Any) -> Any:
        calls.append((*args, *kwargs.items()))
        return own(instance, *args, **kwargs)

    monkeypatch.setattr(DagsterInstance, "get_runs", get_runs)
    return calls


def narrowed(queue: RunQueue) -> bool | None:
    """What `status` and the metrics tell of the daemon's reading."""
    return now.read(queue.instance, queue.coordinator.settings).daemon.stored.narrowed


def test_the_daemon_of_this_dagster_is_answered(run_queue: MakeRunQueue, asked: list[Any]) -> None:
    """The contract with each supported version: its reading of the queue is recognised, and told to others."""
    queue = run_queue(code_location_limits=LIMITS)
    queue.queue(A, 5)
    assert narrowed(queue) is None
    assert queue.tick() == {A: 2}
    assert asked == []
    assert narrowed(queue) is True


def test_pages_are_answered_one_after_the_other(run_queue: MakeRunQueue, asked: list[Any]) -> None:
    """Also where the runs fill the last page."""
    for runs in (4, 5):
        queue = run_queue(max_concurrent_runs=50)
        queue.daemon = QueuedRunCoordinatorDaemon(interval_seconds=1, page_size=2)
        run_ids = queue.queue(A, runs)
        assert queue.tick_ids() == run_ids
    assert asked == []


def test_everybody_else_is_answered_by_the_instance(run_queue: MakeRunQueue) -> None:
    """The same question, asked by anybody but the daemon's tick, gets the whole queue."""
    queue = run_queue(code_location_limits=LIMITS)
    queue.queue(A, 5)
    queue.tick()
    assert len(queue.instance.get_runs(QUEUED, limit=100, ascending=True)) == 3
    assert len(queue.instance.get_run_records(QUEUED)) == 3


def test_an_instance_whose_daemon_never_ticked_is_as_it_was(run_queue: MakeRunQueue) -> None:
    """Webservers, run workers and the command line."""
    queue = run_queue(code_location_limits=LIMITS)
    queue.queue(A, 1)
    assert queue.instance.get_concurrency_config().run_queue_config
    assert "get_runs" not in vars(queue.instance)
    assert "get_run_records" not in vars(queue.instance)


def test_without_any_limit_it_is_the_same(run_queue: MakeRunQueue, asked: list[Any]) -> None:
    """All that is queued starts, runs are tagged, and a live limit is in force at the next tick."""
    queue = run_queue(max_concurrent_runs=-1)
    run_ids = queue.put(A, DagsterRunStatus.QUEUED, 2)
    assert queue.tick() == {A: 2}
    assert [queue.run(run_id).tags["code_location"] for run_id in run_ids] == [A, A]
    live.set_limit(queue.instance, A, 3)
    queue.queue(A, 4)
    assert queue.tick() == {A: 1}
    assert asked == []


def test_the_daemons_own_limits_let_no_more_start(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second guard: what runs and what was shown, handed over before the daemon looks at it."""
    handed: list[dict[str, Any]] = []

    class Counter(TagConcurrencyLimitsCounter):
        def __init__(self, limits: list[dict[str, Any]], items: list[Any]) -> None:
            handed[:] = limits
            super().__init__(limits, items)

    monkeypatch.setattr(daemon_module, "TagConcurrencyLimitsCounter", Counter)
    queue = run_queue(max_concurrent_runs=5, code_location_limits={"default": 4})
    queue.queue(A, 9)
    queue.put(B, DagsterRunStatus.STARTED, 2, tag=B)
    queue.queue(B, 9)
    assert queue.tick() == {A: 3}
    of_value = {limit["value"]: limit["limit"] for limit in handed if isinstance(limit["value"], str)}
    assert of_value == {A: 3, B: 2}


def test_a_run_that_leaves_the_queue_within_the_tick_is_not_shown(run_queue: MakeRunQueue) -> None:
    """Canceled between our reading and the daemon's: another takes its place at once."""
    queue = run_queue(code_location_limits=LIMITS)
    first, *rest = queue.queue(A, 4)
    own = queue.daemon._get_in_progress_run_records

    def cancels_first(instance: DagsterInstance) -> Any:
        queue.instance.report_run_canceled(queue.run(first))
        return own(instance)

    queue.daemon._get_in_progress_run_records = cancels_first  # type: ignore[method-assign]
    assert queue.tick_ids() == rest[:2]


OTHER_READINGS = {
    "another question": [("_get_runs_to_dequeue", "ascending=True,", "ascending=True, bucket_by=None,")],
    "never asked": [("_get_runs_to_dequeue", "instance.get_runs(", "type(instance).get_runs(instance, ")],
    "runs in progress unseen": [
        (
            "_get_in_progress_run_records",
            "return instance.get_run_records(",
            "return type(instance).get_run_records(instance, ",
        )
    ],
}
"""How a later Dagster might read: the method, what is in its code, and what is there instead."""

RENAMED = [
    ("_get_in_progress_run_records", "def _get_in_progress_run_records(", "def _get_runs_in_progress("),
    ("_get_runs_to_dequeue", "self._get_in_progress_run_records(", "self._get_runs_in_progress("),
]

in_each_other_way = pytest.mark.parametrize("changes", OTHER_READINGS.values(), ids=OTHER_READINGS)


def read_in_another_way(changes: Changes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the daemon read in another way."""
    for method, there, instead in changes:
        source = textwrap.dedent(inspect.getsource(getattr(QueuedRunCoordinatorDaemon, method)))
        assert there in source
        made: dict[str, Any] = {}
        exec(source.replace(there, instead), vars(daemon_module), made)  # noqa: S102 - Dagster's own code
        for name, function in made.items():
            monkeypatch.setattr(QueuedRunCoordinatorDaemon, name, function, raising=False)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of a daemon that reads in another way."""
    records = [record for record in caplog.records if "reads its whole queue, because" in record.getMessage()]
    assert {record.levelno for record in records} <= {logging.ERROR}
    return [record.getMessage() for record in records]


@in_each_other_way
def test_limits_hold_as_tag_limits_where_the_daemon_reads_in_another_way(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch, changes: Changes
) -> None:
    """Of known code locations, of one seen for the first time, and for runs with another's tag; 0 while paused."""
    read_in_another_way(changes, monkeypatch)
    queue = run_queue(max_concurrent_runs=20, code_location_limits={"default": 2, "locations": {A: 3}})
    for _ in range(3):
        queue.tick()
    queue.put(B, DagsterRunStatus.STARTED, 1, tag=B)
    queue.queue(A, 9)
    queue.put(B, DagsterRunStatus.QUEUED, 4, tag=A)
    assert queue.tick() == {A: 3, B: 1}
    for _ in range(4):
        queue.end(A)
        assert queue.tick() == {A: 1}
    live.pause(queue.instance, A)
    queue.end(A, 2)
    for _ in range(4):
        assert queue.tick() == {}
    live.resume(queue.instance, A)
    live.set_limit(queue.instance, A, 2)
    assert queue.tick() == {A: 1}


@in_each_other_way
def test_the_limit_of_a_group_does_not_open_and_close(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch, changes: Changes
) -> None:
    """It bounds each of its code locations, at every tick alike; together they may have more."""
    read_in_another_way(changes, monkeypatch)
    queue = run_queue(code_location_limits={"groups": {"team": {"locations": [A, B], "limit": 3}}})
    queue.queue(A, 9)
    assert queue.tick() == {A: 3}
    for _ in range(6):
        assert queue.tick() == {}


@in_each_other_way
def test_a_daemon_that_reads_in_another_way_is_told_of_once(
    run_queue: MakeRunQueue,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    changes: Changes,
) -> None:
    """One line, and others can see it, also while no slot is free; the answers return with the question."""
    queue = run_queue(max_concurrent_runs=5, code_location_limits={"default": {"max_per_job": 1}})
    queue.queue(A, 19)
    assert queue.tick() == {A: 1}
    with monkeypatch.context() as patch:
        read_in_another_way(changes, patch)
        for _ in range(4):
            queue.end(A)
            queue.tick()
        assert narrowed(queue) is False
        for _ in range(3):  # without a free slot, and with one
            assert queue.in_progress(A) == 5
            assert queue.tick() == {}
            assert narrowed(queue) is False
            queue.end(A)
            assert queue.tick() == {A: 1}
            assert narrowed(queue) is False
    assert len(errors(caplog)) == 1
    queue.end(A, 4)
    assert queue.tick() == {}
    assert narrowed(queue) is True
    queue.end(A)
    assert queue.tick() == {A: 1}
    assert len(errors(caplog)) == 1


def test_a_function_of_the_daemon_may_have_another_name(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The question tells the reading of the runs in progress, so a group goes on with its limit."""
    read_in_another_way(RENAMED, monkeypatch)
    queue = run_queue(code_location_limits={"groups": {"team": {"locations": [A, B], "limit": 3}}})
    queue.queue(A, 9)
    queue.queue(B, 9)
    for _ in range(6):
        queue.tick()
        assert queue.in_progress(A) + queue.in_progress(B) == 3
    assert errors(caplog) == []
    assert narrowed(queue) is True


FAILURES: dict[str, tuple[object, str]] = {
    "at the begin": (live, "read"),
    "in the runs in progress": (SqlRunStorage, "get_run_records"),
    "in the queue": (tick, "select"),
}
"""Where the database can fail in a tick."""

INNER_LIMITS: dict[str, tuple[dict[str, Any], int]] = {
    "max_per_job": ({"default": {"max_per_job": 1}}, 1),
    "max_per_backfill": ({"default": {"max_per_backfill": 2}}, 2),
    "group": ({"groups": {"team": {"locations": [A, B], "limit": 3}}}, 3),
    "breaker": ({"default": {"limit": 2, "breaker": {"failures": 3}}}, 2),
}
"""Limits that tag limits can't say, and how many runs may be in progress."""


@pytest.mark.parametrize("limit", INNER_LIMITS)
@pytest.mark.parametrize("where", FAILURES)
def test_ticks_that_fail_loosen_nothing(
    run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture, where: str, limit: str
) -> None:
    """However many in a row: the next tick works as all before."""
    limits, most = INNER_LIMITS[limit]
    queue = run_queue(max_concurrent_runs=50, code_location_limits=limits)
    queue.queue(A, 9, tags={"dagster/backfill": "b"})
    assert queue.tick() == {A: most}
    for failing in (1, 3, 5):
        with mock.patch.object(*FAILURES[where], side_effect=ConnectionError):
            for _ in range(failing):
                with pytest.raises(ConnectionError):
                    queue.tick()
        assert queue.tick() == {}
        queue.end(A)
        assert queue.tick() == {A: 1}
        assert queue.in_progress(A) == most
    assert narrowed(queue) is True
    assert errors(caplog) == []


def test_a_counter_of_pools_that_is_made_in_another_way_is_told_of(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Then what a pool holds can't be known before, and Dagster's own reading stays."""

    class Other:
        def __init__(self, _everything: object) -> None:
            raise AssertionError

    monkeypatch.setattr("clt_queued_run_coordinator._dagster.GlobalOpConcurrencyLimitsCounter", Other)
    queue = run_queue({"pools": {"granularity": "run"}}, code_location_limits=LIMITS)
    queue.instance.event_log_storage.set_concurrency_slots("database", 1)
    queue.queue(A, 4, pool="database")
    queue.queue(B, 4)
    assert queue.tick() == {A: 1, B: 2}
    assert any("its counter of pools takes other arguments" in line for line in caplog.messages)
    assert narrowed(queue) is False


def test_a_counter_of_pools_that_is_made_in_another_way_ends_no_tick_without_a_free_slot(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where who could start is looked up for the credit alone."""
    queue = run_queue(
        {"pools": {"granularity": "run"}}, max_concurrent_runs=2, code_location_limits={"sharing": "fair"}
    )
    queue.instance.event_log_storage.set_concurrency_slots("database", 1)
    queue.queue(A, 2)
    assert queue.tick() == {A: 2}
    queue.queue(A, 2, pool="database")
    monkeypatch.setattr(
        "clt_queued_run_coordinator._dagster.GlobalOpConcurrencyLimitsCounter", lambda _everything: None
    )
    monkeypatch.setattr("clt_queued_run_coordinator.daemon.tick.LOOK_SECONDS", 0)
    assert queue.tick() == {}
