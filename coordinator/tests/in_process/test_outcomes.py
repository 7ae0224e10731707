"""The starts and ends of runs are counted for the metrics."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

import pytest
from clt_queued_run_coordinator.daemon import accounting
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.daemon.state import KEY
from clt_queued_run_coordinator.policy.totals import Outcome
from dagster import DagsterRunStatus
from dagster._core.events import DagsterEvent, DagsterEventType
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue, in_the_middle_of_a_tick, postgresql_run_queue

MakeRunQueue = Callable[..., RunQueue]

TWO_EACH: dict[str, Any] = {"max_concurrent_runs": 4, "code_location_limits": {"default": 2}}
EACH_READING = pytest.mark.parametrize("reading", ["limits", "no limits"])


def _config(reading: str) -> dict[str, Any]:
    return {"max_concurrent_runs": -1} if reading == "no limits" else TWO_EACH


@pytest.fixture(autouse=True)
def _each_tick_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_state, "STORE_INTERVAL_SECONDS", 0)


def _counted(queue: RunQueue, code_location: str = A) -> dict[str, int]:
    """The starts and ends of a code location as they are stored, without those that are 0."""
    with queue.storage.connect() as connection:
        totals = daemon_state.read(connection).totals.get(code_location)
    if not totals:
        return {}
    assert sum(totals.waits) == totals.starts
    counts = {"starts": totals.starts} | {outcome.value: ends for outcome, ends in totals.ends.items()}
    return {what: number for what, number in counts.items() if number}


def _report(queue: RunQueue, run_id: str, *kinds: str) -> None:
    """Report events of a run, as its worker does."""
    for kind in kinds:
        event = DagsterEvent(DagsterEventType(f"PIPELINE_{kind}").value, "job")
        queue.instance.report_dagster_event(event, run_id=run_id)


@pytest.fixture
def same_database(new_database: Callable[[], str]) -> Iterator[Callable[..., RunQueue]]:
    """Opens a new instance with a new coordinator and a new daemon, each time on the same database."""
    url = new_database()
    with ExitStack() as stack:
        yield lambda **config: stack.enter_context(postgresql_run_queue(url, config or TWO_EACH, {}))


@EACH_READING
def test_starts_and_ends_are_counted_by_outcome(run_queue: MakeRunQueue, reading: str) -> None:
    """However the queue is read; a run that starts and ends between two ticks counts as well."""
    queue = run_queue(**_config(reading))
    queue.tick()
    succeeds, fails = queue.queue(A, 2)
    queue.queue(B)
    assert queue.tick() == {A: 2, B: 1}
    _report(queue, succeeds, "START", "SUCCESS")
    _report(queue, fails, "FAILURE")
    queue.tick()
    assert _counted(queue) == {"starts": 2, "success": 1, "failure": 1}
    assert _counted(queue, B) == {"starts": 1}
    queue.end(B)
    queue.tick()
    queue.tick()
    assert _counted(queue) == {"starts": 2, "success": 1, "failure": 1}
    assert _counted(queue, B) == {"starts": 1, "canceled": 1}


@EACH_READING
def test_a_run_that_is_canceled_while_it_is_starting_has_started(run_queue: MakeRunQueue, reading: str) -> None:
    """It began no work, which is all that the runs' table tells; and it was canceled before the next tick."""
    queue = run_queue(**_config(reading))
    queue.tick()
    queue.queue(A, 2)
    queue.tick()
    queue.end(A, 2)
    queue.tick()
    assert _counted(queue) == {"starts": 2, "canceled": 2}


@EACH_READING
def test_a_run_that_is_canceled_in_the_queue_ends_without_a_start(run_queue: MakeRunQueue, reading: str) -> None:
    """It has left the queue, and nothing has started it."""
    queue = run_queue(**_config(reading), tag_concurrency_limits=[{"key": "held", "limit": 0}])
    canceled, deleted, _ = queue.queue(A, 3, tags={"held": "yes"})
    queue.tick()
    queue.instance.report_run_canceled(queue.run(canceled))
    queue.instance.delete_run(deleted)
    queue.tick()
    queue.tick()
    assert _counted(queue) == {"canceled": 1}


@on_one_storage
@pytest.mark.parametrize("slots", [1, 4])
def test_ends_are_counted_at_the_next_tick_whether_or_not_a_slot_is_free(
    run_queue: MakeRunQueue, slots: int
) -> None:
    """With no slot free the daemon doesn't come as far as to read the queue."""
    queue = run_queue(max_concurrent_runs=slots)
    first, _ = queue.queue(A, 2)
    queue.tick()
    queue.put(B, DagsterRunStatus.STARTED, slots)
    _report(queue, first, "START", "SUCCESS")
    assert queue.tick() == {}
    assert _counted(queue)["success"] == 1


@on_one_storage
def test_what_is_in_progress_at_the_first_tick_of_all_counts_when_it_ends(run_queue: MakeRunQueue) -> None:
    """An instance that has run before: nothing that is over counts, and no start that nobody saw."""
    queue = run_queue(**TWO_EACH)
    queue.put(A, DagsterRunStatus.SUCCESS, 3)
    (run_id,) = queue.put(A, DagsterRunStatus.STARTED)
    queue.tick()
    assert _counted(queue) == {}
    _report(queue, run_id, "SUCCESS")
    queue.tick()
    assert _counted(queue) == {"success": 1}


@on_one_storage
def test_a_run_that_passes_by_the_coordinator_counts(run_queue: MakeRunQueue) -> None:
    """`dagster job execute` queues nothing; the run is seen in progress."""
    queue = run_queue(**TWO_EACH)
    queue.tick()
    (run_id,) = queue.put(A, DagsterRunStatus.STARTED)
    queue.tick()
    _report(queue, run_id, "FAILURE")
    queue.tick()
    assert _counted(queue) == {"starts": 1, "failure": 1}


@on_one_storage
def test_a_deleted_run_is_forgotten(run_queue: MakeRunQueue) -> None:
    """In progress, and deleted: nobody knows how it ended."""
    queue = run_queue(**TWO_EACH)
    (run_id,) = queue.queue(A)
    queue.tick()
    queue.tick()
    queue.instance.delete_run(run_id)
    queue.tick()
    queue.tick()
    assert _counted(queue) == {"starts": 1}


@on_one_storage
def test_a_run_that_returns_to_the_queue_starts_twice(run_queue: MakeRunQueue) -> None:
    """It was in progress, and is queued again; it ends once."""
    queue = run_queue(**TWO_EACH)
    (run_id,) = queue.queue(A)
    queue.tick()
    queue.tick()
    _report(queue, run_id, "ENQUEUED")
    queue.tick()
    queue.tick()
    _report(queue, run_id, "START", "SUCCESS")
    queue.tick()
    assert _counted(queue) == {"starts": 2, "success": 1}


@on_one_storage
def test_a_run_that_ends_in_the_middle_of_a_tick_counts_once(run_queue: MakeRunQueue) -> None:
    """Between the coordinator's reading of the queue and the daemon's reading of the runs in progress."""
    queue = run_queue(**TWO_EACH)
    run_id, canceled = queue.queue(A, 2)
    queue.queue(A, 2)
    queue.tick()

    def happens() -> None:
        _report(queue, run_id, "START", "SUCCESS")
        queue.instance.report_run_canceled(queue.run(canceled))

    with in_the_middle_of_a_tick(queue, happens):
        queue.tick()
    queue.tick()
    assert _counted(queue) == {"starts": 4, "success": 1, "canceled": 1}


@on_one_storage
def test_a_look_up_that_fails_ends_no_tick_and_loses_nothing(run_queue: MakeRunQueue) -> None:
    """What had ended is counted later."""
    queue = run_queue(**TWO_EACH)
    (run_id,) = queue.queue(A)
    queue.tick()
    _report(queue, run_id, "START", "SUCCESS")
    queue.queue(A)
    with mock.patch.object(accounting, "_look_up", side_effect=ConnectionError):
        assert queue.tick() == {A: 1}
    queue.tick()
    assert _counted(queue) == {"starts": 1, "success": 1}


def test_a_restart_goes_on_from_what_was_stored(same_database: Callable[..., RunQueue]) -> None:
    """With a breaker also what ends while no daemon is up counts once."""
    config = {**TWO_EACH, "code_location_limits": {"default": {"limit": 2, "breaker": {"failures": 9}}}}
    queue = same_database(**config)
    run_ids = queue.queue(A, 2)
    queue.queue(B, 1)
    queue.tick()
    queue.tick()
    _report(queue, run_ids[0], "START", "SUCCESS")
    queue.put(B, DagsterRunStatus.STARTED)
    for _ in range(2):
        queue = same_database(**config)
        queue.tick()
        assert _counted(queue) == {"starts": 2, "success": 1}
        assert _counted(queue, B) == {"starts": 2}


@on_one_storage
@pytest.mark.parametrize("stored", ["", "null", "[]", "{}", '{"totals": 3}', "[" * 100_000, '{"a"', '"x"'])
def test_what_can_not_be_understood_begins_anew(run_queue: MakeRunQueue, stored: str) -> None:
    """Somebody else has written there; the daemon goes on and writes over it."""
    queue = run_queue(**TWO_EACH)
    queue.instance.daemon_cursor_storage.set_cursor_values({KEY: stored})
    queue.queue(A)
    queue.tick()
    queue.tick()
    assert _counted(queue).get("starts", 0) <= 1


@on_one_storage
def test_the_code_locations_of_which_nothing_happened_for_longest_go(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored value stays small where names come and go for years."""
    monkeypatch.setattr(accounting, "CODE_LOCATIONS_KEPT", 3)
    queue = run_queue(max_concurrent_runs=-1)
    queue.tick()
    for name in ("one", "two", "three", "one", 'o"d/d %ü ', ""):
        queue.queue(name or "four")
        queue.tick()
        queue.tick()
    stored = json.loads(queue.instance.daemon_cursor_storage.get_cursor_values({KEY})[KEY])
    assert list(stored["totals"]) == ["one", 'o"d/d %ü ', "four"]
    assert stored["totals"]["one"]["starts"] == 2


@on_one_storage
def test_a_wait_is_from_the_creation_of_a_run_to_the_tick_that_starts_it(run_queue: MakeRunQueue) -> None:
    """By the daemon's clock; a clock that is behind the one that created the run makes no negative wait."""
    queue = run_queue(**TWO_EACH)
    queue.tick()
    queue.queue(A, 2)
    created = queue.instance.get_run_records()[0].create_timestamp.timestamp()
    with mock.patch("time.time", return_value=created + 100):
        queue.tick()
    with mock.patch("time.time", return_value=created - 100):
        queue.queue(B)
        queue.tick()
    queue.tick()
    with queue.storage.connect() as connection:
        totals = daemon_state.read(connection).totals
    assert totals[A].waits == [0, 0, 0, 0, 2, 0, 0, 0, 0, 0]
    assert totals[A].waited == pytest.approx(200, abs=20)
    assert totals[B].waits == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert totals[B].waited == 0
    assert totals[A].ends == dict.fromkeys(Outcome, 0)
