"""Each start and each end of a run is counted once, whenever the daemon is killed and whatever else happens."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import pytest
from clt_queued_run_coordinator.daemon import last_tick, run_tracker, stored_totals
from clt_queued_run_coordinator.daemon.run_tracker import RunTracker
from clt_queued_run_coordinator.daemon.stored_totals import KEY
from clt_queued_run_coordinator.policy.totals import Outcome
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.test_utils import MockedRunLauncher
from tests.in_process.statements import Statements
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue, in_the_middle_of_a_tick, postgresql_run_queue

MakeRunQueue = Callable[..., RunQueue]

TWO_EACH: dict[str, Any] = {"max_concurrent_runs": 4, "code_location_limits": {"default": 2}}
EACH_READING = pytest.mark.parametrize("reading", ["narrowed", "no limits"])


def _config(reading: str) -> dict[str, Any]:
    if reading == "no limits":
        return {"max_concurrent_runs": -1}
    return {**TWO_EACH, "code_location_limits": {"default": 2, "queue_reading": reading}}


class Killed(BaseException):
    """The daemon is killed: nothing catches it."""


def _counted(queue: RunQueue, code_location: str = A) -> dict[str, int]:
    """The starts and ends of a code location as they are stored, without those that are 0."""
    with queue.storage.connect() as connection:
        totals = stored_totals.read_totals(connection).get(code_location)
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


def _statements(queue: RunQueue) -> list[str]:
    """What a tick writes to the key-value store."""
    with Statements() as statements:
        queue.tick()
    return [text for text in statements.executed if "kvs" in text and not text.startswith("SELECT")]


@pytest.fixture
def same_database(new_database: Callable[[], str]) -> Iterator[Callable[..., RunQueue]]:
    """Opens a new instance with a new coordinator and a new daemon, each time on the same database."""
    url = new_database()
    with ExitStack() as stack:
        yield lambda **config: stack.enter_context(postgresql_run_queue(url, config or TWO_EACH, {}))


@contextmanager
def _killed(owner: object, step: str) -> Iterator[None]:
    """The daemon is killed at a step of its tick."""
    with mock.patch.object(owner, step, side_effect=Killed), pytest.raises(Killed):
        yield


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
def test_a_tick_without_a_change_writes_nothing(run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither with an empty queue, nor with runs in progress, nor with no slot free."""
    monkeypatch.setattr(last_tick, "STORE_INTERVAL_SECONDS", 3600)
    queue = run_queue(max_concurrent_runs=2)
    queue.tick()
    assert _statements(queue) == []
    queue.queue(A, 3)
    assert len(_statements(queue)) == 1
    assert len(_statements(queue)) == 1
    assert _statements(queue) == []
    queue.end(A)
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
def test_a_tick_that_fails_loses_nothing(run_queue: MakeRunQueue) -> None:
    """The database fails where the runs in progress are read; what had left the queue is counted later."""
    queue = run_queue(**TWO_EACH)
    (run_id,) = queue.queue(A)
    queue.tick()
    _report(queue, run_id, "START", "SUCCESS")
    with (
        mock.patch.object(run_tracker, "_look_up", side_effect=ConnectionError),
        pytest.raises(ConnectionError),
    ):
        queue.tick()
    queue.tick()
    assert _counted(queue) == {"starts": 1, "success": 1}


def test_killed_before_the_offered_runs_are_stored(same_database: Callable[..., RunQueue]) -> None:
    """What had ended by then is counted by the next daemon."""
    queue = same_database()
    ended, _ = queue.queue(A, 2)
    queue.tick()
    _report(queue, ended, "START", "SUCCESS")
    queue.queue(A)
    with _killed(RunTracker, "store"):
        queue.tick()
    queue = same_database()
    assert queue.tick() == {A: 1}
    queue.tick()
    assert _counted(queue) == {"starts": 3, "success": 1}


def test_killed_between_the_answer_and_the_launch(same_database: Callable[..., RunQueue]) -> None:
    """The offered runs are still queued: they start once, later, or are canceled before."""
    queue = same_database()
    _, canceled = queue.queue(A, 2)
    with _killed(queue.daemon, "_dequeue_run"):
        queue.tick()
    queue = same_database()
    queue.instance.report_run_canceled(queue.run(canceled))
    assert queue.tick() == {A: 1}
    assert _counted(queue) == {"canceled": 1}
    queue.tick()
    assert _counted(queue) == {"starts": 1, "canceled": 1}


@pytest.mark.parametrize("ends", [False, True])
def test_killed_in_the_launch(same_database: Callable[..., RunQueue], ends: bool) -> None:
    """One run is starting, and perhaps over before the next daemon is up; the other is queued."""
    queue = same_database()
    first, _ = queue.queue(A, 2)
    with _killed(MockedRunLauncher, "launch_run"):
        queue.tick()
    if ends:
        _report(queue, first, "START", "SUCCESS")
    queue = same_database()
    assert queue.tick() == {A: 1}
    queue.tick()
    assert _counted(queue) == {"starts": 2, **({"success": 1} if ends else {})}


@EACH_READING
def test_a_restart_counts_nothing_twice(same_database: Callable[..., RunQueue], reading: str) -> None:
    """Runs end and are started by hand while no daemon is up."""
    queue = same_database(**_config(reading))
    run_ids = queue.queue(A, 2)
    queue.queue(B, 1)
    queue.tick()
    queue.tick()
    _report(queue, run_ids[0], "START", "SUCCESS")
    queue.put(B, DagsterRunStatus.STARTED)
    for _ in range(2):
        queue = same_database(**_config(reading))
        queue.tick()
        assert _counted(queue) == {"starts": 2, "success": 1}
        assert _counted(queue, B) == {"starts": 2}


def test_an_answer_that_is_lost_counts_nothing_twice(same_database: Callable[..., RunQueue]) -> None:
    """The database has stored it, and the connection broke: the daemon reads what is there."""
    queue = same_database()
    (run_id,) = queue.queue(A)
    queue.tick()
    _report(queue, run_id, "START", "SUCCESS")
    own = RunTracker.store

    def store(self: RunTracker, instance: Any) -> None:
        known = self._stored
        own(self, instance)
        self._stored, self._has_changed = known, True
        raise ConnectionError

    with mock.patch.object(RunTracker, "store", store), pytest.raises(ConnectionError):
        queue.tick()
    for _ in range(3):
        queue.tick()
    assert _counted(queue) == {"starts": 1, "success": 1}


def test_two_daemons_by_mistake_count_nothing_twice(same_database: Callable[..., RunQueue]) -> None:
    """They tick in turn."""
    daemons = [same_database(), same_database()]
    run_ids = daemons[0].queue(A, 3)
    for run_id in run_ids:
        for queue in daemons * 2:
            queue.tick()
        _report(daemons[0], run_id, "START", "SUCCESS")
    for queue in daemons * 2:
        queue.tick()
    assert _counted(daemons[0]) == {"starts": 3, "success": 3}


@on_one_storage
def test_a_second_daemon_does_not_write_over_what_the_first_has_counted(run_queue: MakeRunQueue) -> None:
    """It has seen nothing of a run that came and went between two of its ticks."""
    queue = run_queue(**TWO_EACH)
    first, second = RunTracker(), RunTracker()

    def tick(daemon: RunTracker) -> None:
        with queue.storage.connect() as connection:
            daemon.read(connection)
        in_progress = queue.instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
        daemon.update(queue.instance, in_progress, {}, (), whole=False)
        daemon.store(queue.instance)

    tick(first)
    tick(second)
    (run_id,) = queue.put(A, DagsterRunStatus.STARTED)
    tick(first)
    _report(queue, run_id, "SUCCESS")
    tick(first)
    queue.put(B, DagsterRunStatus.STARTED)
    tick(second)
    assert _counted(queue) == {"starts": 1, "success": 1}
    tick(second)
    assert _counted(queue) == {"starts": 1, "success": 1}
    assert _counted(queue, B) == {"starts": 1}


@on_one_storage
@pytest.mark.parametrize("stored", ["", "null", "[]", "{}", '{"totals": 3}', "[" * 100_000, '{"a"', '"x"'])
def test_what_can_not_be_understood_begins_anew(run_queue: MakeRunQueue, stored: str) -> None:
    """Somebody else has written there; the daemon goes on and writes over it."""
    queue = run_queue(**TWO_EACH)
    queue.instance.daemon_cursor_storage.set_cursor_values({KEY: stored})
    queue.queue(A)
    queue.tick()
    queue.tick()
    assert _counted(queue) == {"starts": 1}


@on_one_storage
def test_the_code_locations_of_which_nothing_happened_for_longest_go(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored value stays small where names come and go for years."""
    monkeypatch.setattr(run_tracker, "CODE_LOCATIONS_KEPT", 3)
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
        totals = stored_totals.read_totals(connection)
    assert totals[A].waits == [0, 0, 0, 0, 2, 0, 0, 0, 0, 0]
    assert totals[A].waited == pytest.approx(200, abs=20)
    assert totals[B].waits == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert totals[B].waited == 0
    assert totals[A].ends == dict.fromkeys(Outcome, 0)
