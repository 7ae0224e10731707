"""What has started and ended is counted by outcome, and whatever fails there, runs start."""

import json
import logging
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from clt_queued_run_coordinator.daemon import accounting
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.daemon.accounting import Accounting
from clt_queued_run_coordinator.daemon.state import KEY
from clt_queued_run_coordinator.policy.totals import Outcome, Totals
from dagster import DagsterRunStatus
from dagster._core.events import DagsterEvent, DagsterEventType
from tests.in_process.statements import Statements
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue, in_the_middle_of_a_tick

MakeRunQueue = Callable[..., RunQueue]

TWO_EACH: dict[str, Any] = {"max_concurrent_runs": 4, "code_location_limits": {"default": 2}}
WITH_BREAKER = {
    "max_concurrent_runs": 4,
    "code_location_limits": {"default": {"limit": 2, "breaker": {"failures": 9}}},
}
either_way = pytest.mark.parametrize(
    "config", [TWO_EACH, WITH_BREAKER, {"max_concurrent_runs": -1}], ids=["limits", "breaker", "no limits"]
)


@pytest.fixture(autouse=True)
def _stored_at_each_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_state, "STORE_INTERVAL_SECONDS", 0)


def _totals(queue: RunQueue, code_location: str = A) -> Totals:
    with queue.storage.connect() as connection:
        return daemon_state.read(connection).totals.get(code_location, Totals())


def _counted(queue: RunQueue, code_location: str = A) -> dict[str, int]:
    """The starts and ends of a code location as they are stored, without those that are 0."""
    totals = _totals(queue, code_location)
    assert sum(totals.waits) == totals.starts
    counts = {"starts": totals.starts} | {outcome.value: ends for outcome, ends in totals.ends.items()}
    return {what: number for what, number in counts.items() if number}


def _report(queue: RunQueue, run_id: str, *kinds: str) -> None:
    """Report events of a run, as its worker does."""
    for kind in kinds:
        event = DagsterEvent(DagsterEventType(f"PIPELINE_{kind}").value, "job")
        queue.instance.report_dagster_event(event, run_id=run_id)


def _statements(queue: RunQueue) -> list[str]:
    """What a tick writes to the key-value store."""
    with Statements() as statements:
        queue.tick()
    writes = ("INSERT INTO kvs", "UPDATE kvs", "DELETE FROM kvs")
    return [text for text in statements.executed if text.startswith(writes)]


@either_way
def test_starts_and_ends_are_counted_by_outcome(run_queue: MakeRunQueue, config: dict[str, Any]) -> None:
    """Whoever reads the queue; a run that starts and ends between two ticks counts as well."""
    queue = run_queue(**config)
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


@on_one_storage
def test_a_run_that_is_canceled_while_it_is_starting_has_started(run_queue: MakeRunQueue) -> None:
    """It began no work, which is all that the runs' table tells; and it was canceled before the next tick."""
    queue = run_queue(**TWO_EACH)
    queue.tick()
    queue.queue(A, 2)
    queue.tick()
    queue.end(A, 2)
    queue.tick()
    assert _counted(queue) == {"starts": 2, "canceled": 2}


@either_way
def test_a_run_that_is_canceled_in_the_queue_ends_without_a_start(
    run_queue: MakeRunQueue, config: dict[str, Any]
) -> None:
    """It has left the queue, and nothing has started it. One that was deleted is forgotten."""
    queue = run_queue(**config, tag_concurrency_limits=[{"key": "held", "limit": 0}])
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
def test_ticks_write_when_runs_start_and_otherwise_now_and_then(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with an empty queue, with runs in progress or with no slot free; nor for what is only counted."""
    monkeypatch.setattr(daemon_state, "STORE_INTERVAL_SECONDS", 3600)
    queue = run_queue(max_concurrent_runs=2)
    queue.tick()
    assert _statements(queue) == []
    queue.queue(A, 3)
    assert len(_statements(queue)) == 1
    assert len(_statements(queue)) == 1  # nothing is being launched any more
    for _ in range(3):
        assert _statements(queue) == []
    queue.end(A)
    assert [len(_statements(queue)) for _ in range(3)] == [1, 1, 0]
    queue.end(A)
    assert _statements(queue) == []
    monkeypatch.setattr(daemon_state, "STORE_INTERVAL_SECONDS", 0)
    assert len(_statements(queue)) == 1


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
def test_a_look_up_that_fails_ends_no_tick_and_loses_nothing(
    run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once; runs start, and what had ended is counted later."""
    queue = run_queue(**TWO_EACH)
    (run_id,) = queue.queue(A)
    queue.tick()
    _report(queue, run_id, "START", "SUCCESS")
    with mock.patch.object(accounting, "_look_up", side_effect=ConnectionError("gone")):
        for _ in range(3):
            queue.queue(B)
            queue.tick()
    assert queue.in_progress(B) == 2
    assert [line for line in caplog.messages if "Counting runs failed" in line] == [
        "Counting runs failed (ConnectionError: gone); the tick goes on, and the next one tries again."
    ]
    queue.tick()
    assert _counted(queue) == {"starts": 1, "success": 1}
    assert _counted(queue, B) == {"starts": 2}


@pytest.mark.parametrize("config", [TWO_EACH, WITH_BREAKER], ids=["limits", "breaker"])
@pytest.mark.parametrize("error", [OverflowError("int too large"), AssertionError(), RecursionError()])
@on_one_storage
def test_nothing_that_fails_in_the_accounting_ends_a_tick(
    run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture, config: dict[str, Any], error: Exception
) -> None:
    """From the first tick on; limits hold as always, and it is told once until it works again."""
    queue = run_queue(**config)
    queue.queue(A, 9)
    for told in (1, 2):
        with mock.patch.object(Accounting, "_totals_of", side_effect=error):
            queue.tick()
            for _ in range(3):
                queue.end(A)
                assert queue.tick() == {A: 1}
                assert queue.in_progress(A) == 2
        lines = [record for record in caplog.records if "Counting runs failed" in record.getMessage()]
        assert [line.levelno for line in lines] == [logging.WARNING] * told
        queue.tick()


@on_one_storage
def test_a_state_that_can_not_be_stored_ends_no_tick(
    run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, and stored at the next tick that can."""
    queue = run_queue(**TWO_EACH)
    queue.queue(A, 9)
    with mock.patch.object(daemon_state, "write", side_effect=ConnectionError("gone")):
        assert queue.tick() == {A: 2}
        queue.end(A)
        assert queue.tick() == {A: 1}
        assert queue.tick() == {}
    assert len([line for line in caplog.messages if "Storing the daemon's state failed" in line]) == 1
    assert queue.tick() == {}
    assert _counted(queue) == {"starts": 3, "canceled": 1}


@pytest.mark.parametrize("config", [TWO_EACH, WITH_BREAKER], ids=["limits", "breaker"])
def test_a_restart_goes_on_and_counts_nothing_twice(
    same_database: Callable[..., RunQueue], config: dict[str, Any]
) -> None:
    """With a breaker, also what ended while no daemon was up; without one its outcome may be missed."""
    queue = same_database(**config)
    run_ids = queue.queue(A, 2)
    queue.tick()
    queue.tick()
    _report(queue, run_ids[0], "START", "SUCCESS")
    for _ in range(3):
        queue = same_database(**config)
        queue.tick()
        assert _counted(queue) == {"starts": 2, **({"success": 1} if config is WITH_BREAKER else {})}
    _report(queue, run_ids[1], "START", "FAILURE")
    queue.tick()
    assert _counted(queue)["failure"] == 1


GARBAGE: dict[str, Any] = {
    "no JSON": "x",
    "empty": "",
    "null": "null",
    "list": "[]",
    "no parts": "{}",
    "nested": "[" * 100_000,
    "cut off": '{"a"',
    "numbers": '{"totals": 3, "breakers": 3, "tracked": 3, "credit": 3, "at": "3", "launching": 3, "narrowed": 3}',
    "lists": '{"totals": [], "breakers": [], "tracked": [], "credit": [], "at": [], "launching": []}',
    "not a number": '{"totals": {"a": {"starts": NaN, "waited": Infinity}}, "credit": {"at": NaN}}',
    "400 digits": json.dumps(
        {
            "totals": {A: {"starts": 10**400, "waited": 10**400, "ends": {"success": -(10**400)}}},
            "breakers": {A: {"in_a_row": 10**400, "failed_at": [10**400], "open": {"at": 10**400}}},
            "tracked": {A: {"9" * 400: 10**400, "1": 10**400, "9" * 19: 1, "²": 1, "-1": 1, "0": 1}},
            "credit": {"at": 10**400, "slot_seconds": {A: 10**400}, "faded": {A: 10**400}},
            "at": 10**400,
            "reading_seconds": 10**400,
            "launching": {"began": 10**400, "first": [10**400]},
        }
    ),
    "5000 digits": json.dumps({"tracked": {A: {"9" * 5000: 1}}, "breakers": {A: {"failed_at": [1e308] * 9}}}),
}


@on_one_storage
@pytest.mark.parametrize("stored", GARBAGE.values(), ids=GARBAGE)
def test_what_can_not_be_understood_begins_anew(
    run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture, stored: str
) -> None:
    """Somebody else has written there; the daemon goes on and writes over it."""
    limits = {"sharing": "fair", "default": {"limit": 2, "breaker": {"failures": 10}}}
    queue = run_queue(max_concurrent_runs=4, code_location_limits=limits)
    queue.instance.daemon_cursor_storage.set_cursor_values({KEY: stored})
    queue.queue(A, 3)
    assert queue.tick() == {A: 2}
    queue.end(A)
    assert queue.tick() == {A: 1}
    queue.tick()
    assert _counted(queue)["canceled"] == 1
    assert [line for line in caplog.messages if "failed (" in line] == []


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
    assert _totals(queue).waits == [0, 0, 0, 0, 2, 0, 0, 0, 0, 0]
    assert _totals(queue).waited == pytest.approx(200, abs=20)
    assert _totals(queue, B).waits == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert _totals(queue, B).waited == 0
    assert _totals(queue).ends == dict.fromkeys(Outcome, 0)
