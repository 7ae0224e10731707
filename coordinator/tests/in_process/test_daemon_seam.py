"""The one seam to Dagster's daemon: what it answers, what it leaves alone, and what holds where it doesn't fit."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from clt_queued_run_coordinator._dagster import IN_PROGRESS_STATUSES
from clt_queued_run_coordinator.operate import now
from clt_queued_run_coordinator.store import live
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._daemon.run_coordinator import queued_run_coordinator_daemon as daemon_module
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._utils.tags import TagConcurrencyLimitsCounter
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]
QUEUED = RunsFilter(statuses=[DagsterRunStatus.QUEUED])
SILENT_TICKS = 3
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
    return now.read(queue.instance, queue.coordinator.settings).daemon.narrowed


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
    "another question": ("ascending=True,", "ascending=True, bucket_by=None,"),
    "never asked": ("instance.get_runs(", "type(instance).get_runs(instance, "),
    "runs in progress read elsewhere": ("self._get_in_progress_run_records", "_in_progress"),
}
"""How a later Dagster might read its queue: what is in the daemon's code, and what is there instead."""


def _in_progress(instance: DagsterInstance) -> Any:
    return instance.get_run_records(RunsFilter(statuses=IN_PROGRESS_STATUSES))


def read_in_another_way(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the daemon read its queue in another way."""
    there, instead = OTHER_READINGS[kind]
    source = textwrap.dedent(inspect.getsource(QueuedRunCoordinatorDaemon._get_runs_to_dequeue))
    assert there in source
    made: dict[str, Any] = {}
    monkeypatch.setattr(daemon_module, "_in_progress", _in_progress, raising=False)
    exec(source.replace(there, instead), vars(daemon_module), made)  # noqa: S102 - Dagster's own code
    monkeypatch.setattr(QueuedRunCoordinatorDaemon, "_get_runs_to_dequeue", made["_get_runs_to_dequeue"])


@pytest.mark.parametrize("kind", OTHER_READINGS)
def test_limits_hold_where_the_daemon_reads_the_whole_queue(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As tag limits: of known code locations, of one seen for the first time, and for untagged runs."""
    read_in_another_way(kind, monkeypatch)
    queue = run_queue(code_location_limits={"default": 2, "locations": {A: 3}})
    for _ in range(SILENT_TICKS + 1):
        queue.tick()
    queue.queue(A, 6)
    queue.put(B, DagsterRunStatus.QUEUED, 4, tag=A)
    queue.put(B, DagsterRunStatus.STARTED, 1, tag=B)
    assert queue.tick() == {A: 3, B: 1}
    assert queue.tick() == {}
    live.pause(queue.instance, A)
    queue.end(A)
    for _ in range(2 * SILENT_TICKS):
        assert queue.tick() == {}
        assert narrowed(queue) is False


@pytest.mark.parametrize("kind", OTHER_READINGS)
def test_the_limit_of_a_group_does_not_open_and_close(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It bounds each of its code locations, at every tick alike; together they may have more."""
    read_in_another_way(kind, monkeypatch)
    queue = run_queue(code_location_limits={"groups": {"team": {"locations": [A, B], "limit": 3}}})
    queue.queue(A, 9)
    assert queue.tick() == {A: 3}
    for _ in range(2 * SILENT_TICKS):
        assert queue.tick() == {}


@pytest.mark.parametrize("step", ["live changes", "queue", "runs in progress", "bodies"])
def test_ticks_that_fail_change_nothing_of_the_next_one(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    """However many of them: a failure of the database is no change of Dagster."""
    queue = run_queue(max_concurrent_runs=9, code_location_limits={"default": {"max_per_job": 1}})
    queue.queue(A, 9)
    assert queue.tick() == {A: 1}
    queue.queue(B, 9)
    failing = {
        "live changes": "clt_queued_run_coordinator.store.live.read",
        "queue": "clt_queued_run_coordinator.daemon.queued_runs.QueuedRuns.refresh",
        "runs in progress": "dagster._core.storage.runs.sql_run_storage.SqlRunStorage.get_run_records",
        "bodies": "clt_queued_run_coordinator.daemon.candidates.load_runs",
    }
    with monkeypatch.context() as patch:
        patch.setattr(failing[step], mock.Mock(side_effect=ConnectionError))
        for _ in range(2 * SILENT_TICKS):
            with pytest.raises(ConnectionError):
                queue.tick()
    assert queue.tick() == {B: 1}
    assert queue.tick() == {}
    assert not [line for line in caplog.messages if "reads its whole queue" in line]
    assert narrowed(queue) is True


@pytest.mark.parametrize("kind", OTHER_READINGS)
def test_a_daemon_that_reads_in_another_way_is_told_of_once(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """One line; limits hold from the first tick on, and the answers return with the question."""
    queue = run_queue(code_location_limits=LIMITS)
    queue.queue(A, 9)
    with monkeypatch.context() as patch:
        read_in_another_way(kind, patch)
        assert queue.tick() == {A: 2}
        for _ in range(2 * SILENT_TICKS):
            queue.end(A)
            assert queue.tick() == {A: 1}
    lines = [line for line in caplog.messages if "reads its whole queue, because" in line]
    assert len(lines) == 1
    assert narrowed(queue) is False
    queue.tick()
    assert narrowed(queue) is True


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
