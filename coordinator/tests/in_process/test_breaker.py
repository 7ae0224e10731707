"""The circuit breaker opens after a number of failed runs, through real ticks and restarts."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from clt_queued_run_coordinator.daemon import accounting, candidates, manual_launches
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.daemon.state import KEY
from clt_queued_run_coordinator.operate import now
from clt_queued_run_coordinator.policy.changes import iso
from clt_queued_run_coordinator.policy.in_force import LimitInForce, Source
from clt_queued_run_coordinator.store import database_clock, history, live
from clt_queued_run_coordinator.store.rows import load_runs
from clt_queued_run_coordinator.submit.max_queued import QueueFullError
from dagster import DagsterRunStatus
from dagster._core.events import DagsterEvent, DagsterEventType
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]
TWO: dict[str, Any] = {"code_location_limits": {"default": {"breaker": {"failures": 2}}}}
TWO_FOR_AN_HOUR: dict[str, Any] = {
    "code_location_limits": {"default": {"breaker": {"failures": 2, "pause_for": "1h"}}}
}


class Killed(BaseException):
    """The daemon is killed: nothing catches it."""


def start(queue: RunQueue, code_location: str, runs: int = 1) -> list[str]:
    """Let the daemon start so many runs."""
    run_ids = queue.queue(code_location, runs)
    assert queue.tick_ids() == run_ids
    return run_ids


def fail(queue: RunQueue, *run_ids: str) -> None:
    """Let runs in progress fail, one after the other."""
    for run_id in run_ids:
        queue.instance.report_run_failed(queue.run(run_id))


def succeed(queue: RunQueue, run_id: str) -> None:
    """Let a run in progress succeed."""
    for kind in (DagsterEventType.PIPELINE_START, DagsterEventType.PIPELINE_SUCCESS):
        queue.instance.report_dagster_event(DagsterEvent(kind.value, "job"), run_id=run_id)


def open_breaker(queue: RunQueue, code_location: str = A) -> None:
    """Let two runs of a code location fail."""
    fail(queue, *start(queue, code_location, 2))
    queue.tick()
    assert in_force(queue, code_location).source is Source.BREAKER


def in_force(queue: RunQueue, code_location: str = A) -> LimitInForce:
    """The limit in force of a code location."""
    return now.read(queue.instance, queue.coordinator.settings).state.in_force(code_location)


def openings(queue: RunQueue) -> list[str | None]:
    """The reason of each opening that the history has."""
    with queue.storage.connect() as connection:
        entries = history.read(connection)
    return [entry.reason for entry in entries if entry.change == "breaker" and entry.after]


def wait_until_closed(queue: RunQueue, code_location: str = A) -> None:
    """Wait until the time of an open breaker has passed."""
    while in_force(queue, code_location).source is Source.BREAKER:
        time.sleep(0.05)


@pytest.mark.parametrize("reading", ["narrowed", "no limits"])
def test_failed_runs_hold_their_code_location(run_queue: MakeRunQueue, reading: str) -> None:
    """With a total and without any limit; other code locations go on."""
    limits = {"default": {"breaker": {"failures": 2}}}
    queue = run_queue(max_concurrent_runs=-1 if reading == "no limits" else 10, code_location_limits=limits)
    first, last = start(queue, A, 2)
    fail(queue, first, last)
    queue.tick()
    queue.queue(A, 3)
    queue.queue(B)
    assert queue.tick() == {B: 1}
    held = in_force(queue)
    assert (held.limit, held.source) == (0, Source.BREAKER)
    assert held.change
    assert held.change.by == "circuit breaker"
    assert held.change.reason == f"2 failed runs in a row, last {last}"
    assert openings(queue) == [held.change.reason]


def test_it_holds_from_the_tick_on_that_sees_the_failures(run_queue: MakeRunQueue) -> None:
    """Nothing of what is queued by then gets by."""
    queue = run_queue(**TWO)
    fail(queue, *start(queue, A, 2))
    queue.queue(A, 3)
    queue.queue(B)
    assert queue.tick() == {B: 1}


def test_a_success_between_them_begins_the_row_anew(run_queue: MakeRunQueue) -> None:
    """And a canceled run is passed over."""
    queue = run_queue(**TWO)
    first, second, third, fourth = start(queue, A, 4)
    fail(queue, first)
    succeed(queue, second)
    fail(queue, third)
    queue.tick()
    assert in_force(queue).source is Source.NONE
    queue.end(A)
    assert fourth not in queue.tick_ids()
    assert start(queue, A)
    fail(queue, *_in_progress(queue))
    queue.tick()
    assert in_force(queue).source is Source.BREAKER


def test_resume_closes_it_and_counting_begins_at_zero(run_queue: MakeRunQueue) -> None:
    """Runs that were in progress and fail after the next tick, which finds it closed, count anew."""
    queue = run_queue(**TWO)
    first, second, third, fourth, fifth = start(queue, A, 5)
    fail(queue, first, second)
    queue.tick()
    fail(queue, third)
    queue.tick()
    live.resume(queue.instance, A)
    queue.tick()
    fail(queue, fourth)
    queue.tick()
    assert in_force(queue).source is Source.NONE
    fail(queue, fifth)
    queue.tick()
    assert in_force(queue).source is Source.BREAKER
    assert [reason.rpartition(" ")[2] for reason in openings(queue) if reason] in (
        [second, fifth],
        [fifth, second],
    )


def test_it_closes_by_itself(run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture) -> None:
    """From then on failures count from zero, those of runs in progress among them."""
    caplog.set_level(logging.INFO, "dagster.run_coordinator")
    queue = run_queue(code_location_limits={"default": {"breaker": {"failures": 2, "pause_for": "1s"}}})
    first, second, third, fourth = start(queue, A, 4)
    fail(queue, first, second)
    queue.tick()
    wait_until_closed(queue)
    fail(queue, third)
    queue.queue(A)
    assert queue.tick() == {A: 1}
    assert "is closed" in caplog.text
    fail(queue, fourth)
    queue.tick()
    assert len(openings(queue)) == 2


def test_a_pause_goes_before_it_and_leaves_it(run_queue: MakeRunQueue) -> None:
    """Paused for a time on top, the code location is held by its breaker afterwards."""
    queue = run_queue(**TWO)
    open_breaker(queue)
    live.pause(queue.instance, A, until=timedelta(hours=1))
    assert in_force(queue).source is Source.PAUSED
    queue.queue(A)
    assert queue.tick() == {}


def test_the_log_says_so_once(run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture) -> None:
    """As a warning with the reason and the end."""
    caplog.set_level(logging.INFO, "dagster.run_coordinator")
    queue = run_queue(**TWO_FOR_AN_HOUR)
    open_breaker(queue)
    change = in_force(queue).change
    assert change
    assert change.until == change.at + timedelta(hours=1)
    for _ in range(3):
        queue.tick()
    (line,) = [record for record in caplog.records if "circuit breaker" in record.getMessage()]
    assert line.levelno == logging.WARNING
    assert "2 failed runs in a row" in line.getMessage()
    assert f"{iso(change.until)} or `dagster-clt resume`" in line.getMessage()


def test_refused_runs_do_not_count(run_queue: MakeRunQueue) -> None:
    """They have never been queued."""
    queue = run_queue(code_location_limits={"default": {"limit": 1, "max_queued": 0, "breaker": {"failures": 1}}})
    queue.tick()
    for _ in range(3):
        run_id = queue.create(A).run_id
        workspace: Any = None
        with pytest.raises(QueueFullError):
            queue.instance.submit_run(run_id, workspace)
        queue.tick()
    assert openings(queue) == []


@on_one_storage
def test_where_no_breaker_is_configured_failures_are_not_counted(run_queue: MakeRunQueue) -> None:
    """Nor is anything stored of them."""
    queue = run_queue(code_location_limits={"default": 9})
    with mock.patch.object(accounting, "update", side_effect=AssertionError):
        fail(queue, *start(queue, A, 3))
        queue.tick()
    assert '"breakers"' not in _stored(queue)


def test_odd_names(run_queue: MakeRunQueue) -> None:
    """A code location may be called anything."""
    queue = run_queue(**TWO)
    for name in ("50% of 'it'", "a/b", "ß·東", '"quoted"', "x" * 500):
        open_breaker(queue, name)
        queue.queue(name)
    queue.queue(B)
    assert queue.tick() == {B: 1}


def test_a_restart_neither_forgets_nor_doubles_what_was_counted(same_database: Callable[..., RunQueue]) -> None:
    """One failure before it and one after it are two."""
    queue = same_database(**TWO)
    first, second, third = start(queue, A, 3)
    fail(queue, first)
    queue.tick()
    queue = same_database(**TWO)
    queue.tick()
    queue = same_database(**TWO)
    assert in_force(queue).source is Source.NONE
    fail(queue, second)
    queue.tick()
    assert in_force(queue).source is Source.BREAKER
    queue = same_database(**TWO)
    fail(queue, third)
    queue.tick()
    live.resume(queue.instance, A)
    for _ in range(2):
        queue = same_database(**TWO)
        queue.tick()
        assert in_force(queue).source is Source.NONE
    assert len(openings(queue)) == 1


def test_a_restart_without_any_run_in_progress_forgets_no_failure(same_database: Callable[..., RunQueue]) -> None:
    """What was counted is stored at once, not only every few seconds."""
    queue = same_database(**TWO)
    fail(queue, *start(queue, A))
    queue.tick()
    queue = same_database(**TWO)
    fail(queue, *start(queue, A))
    queue.tick()
    assert in_force(queue).source is Source.BREAKER


def test_a_resume_and_a_restart_right_after_it_opened(same_database: Callable[..., RunQueue]) -> None:
    """The failures that opened it are not counted a second time; the next ones count from zero."""
    queue = same_database(**TWO)
    first, second, third, fourth = start(queue, A, 4)
    fail(queue, first, second)
    queue.tick()
    live.resume(queue.instance, A)
    queue = same_database(**TWO)
    queue.tick()
    assert in_force(queue).source is Source.NONE
    fail(queue, third)
    queue.tick()
    assert in_force(queue).source is Source.NONE
    fail(queue, fourth)
    queue.tick()
    assert in_force(queue).source is Source.BREAKER
    assert len(openings(queue)) == 2


def test_an_opening_that_could_not_be_stored_before_a_restart(same_database: Callable[..., RunQueue]) -> None:
    """The next daemon goes on trying, and nothing starts in between."""
    queue = same_database(**TWO)
    fail(queue, *start(queue, A, 2))
    queue.queue(A, 3)
    with mock.patch.object(live, "write", side_effect=ConnectionError("gone")):
        for _ in range(4):
            assert queue.tick() == {}
            queue = same_database(**TWO)
    assert queue.tick() == {}
    assert len(openings(queue)) == 1


@on_one_storage
def test_nothing_passes_where_counting_and_storing_fail_at_once(run_queue: MakeRunQueue) -> None:
    """It is about to open, its row can't be written, and then nothing can be counted either."""
    queue = run_queue(code_location_limits={"default": {"limit": 2, "breaker": {"failures": 2}}})
    fail(queue, *start(queue, A, 2))
    queue.queue(A, 9)
    with mock.patch.object(live, "write", side_effect=ConnectionError("gone")):
        assert queue.tick() == {}
        with mock.patch.object(accounting, "_look_up", side_effect=ConnectionError("gone")):
            for _ in range(3):
                assert queue.tick() == {}
    assert queue.tick() == {}
    assert in_force(queue).source is Source.BREAKER


def test_what_failed_while_it_was_open_and_no_daemon_ran_does_not_open_it_again(
    same_database: Callable[..., RunQueue],
) -> None:
    """It has closed by itself meanwhile."""
    queue = same_database(**TWO_FOR_AN_HOUR)
    first, second, third, fourth = start(queue, A, 4)
    fail(queue, first, second)
    queue.tick()
    fail(queue, third, fourth)
    with queue.storage.connect() as connection:
        change = live.read(connection).breakers[A]
    queue = same_database(**TWO_FOR_AN_HOUR)
    assert change.until
    later = change.until + timedelta(seconds=1)
    with mock.patch.object(database_clock, "moment", return_value=later):
        queue.queue(A)
        assert queue.tick() == {A: 1}
    assert len(openings(queue)) == 1


@pytest.mark.parametrize("step", ["before", "within", "after"])
def test_killed_while_it_opens(same_database: Callable[..., RunQueue], step: str) -> None:
    """It opens once, in this daemon's life or in the next one's."""
    queue = same_database(**TWO)
    run_ids = start(queue, A, 2)
    fail(queue, *run_ids)
    with _killed(step):
        queue.tick()
    for _ in range(2):
        queue = same_database(**TWO)
        queue.queue(A)
        assert queue.tick() == {}
        assert openings(queue) == [f"2 failed runs in a row, last {run_ids[1]}"]


@pytest.mark.parametrize("step", ["before", "within", "after"])
def test_a_resume_after_a_kill_is_not_undone(same_database: Callable[..., RunQueue], step: str) -> None:
    """The failures that opened it are not counted a second time."""
    queue = same_database(**TWO)
    fail(queue, *start(queue, A, 2))
    with _killed(step):
        queue.tick()
    queue = same_database(**TWO)
    queue.tick()
    live.resume(queue.instance, A)
    queue = same_database(**TWO)
    queue.queue(A)
    assert queue.tick() == {A: 1}
    assert len(openings(queue)) == 1


def test_the_database_fails_while_it_opens(run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture) -> None:
    """It holds all the same, the others go on, and it is stored as soon as that works; one line says so."""
    queue = run_queue(code_location_limits={"default": {"limit": 2, "breaker": {"failures": 2}}})
    first, second = start(queue, A, 2)
    fail(queue, first, second)
    queue.queue(A, 9)
    with mock.patch.object(live, "write", side_effect=ConnectionError("gone")):
        for _ in range(4):
            queue.queue(B)
            assert queue.tick() == {B: 1}
            queue.end(B)
    assert openings(queue) == []
    assert sum("can't be stored" in line for line in caplog.messages) == 1
    assert queue.tick() == {}
    assert openings(queue) == [f"2 failed runs in a row, last {second}"]


def test_a_look_up_that_fails_forgets_no_failure(run_queue: MakeRunQueue) -> None:
    """Ticks go on meanwhile."""
    queue = run_queue(**TWO)
    fail(queue, *start(queue, A, 2))
    with mock.patch.object(accounting, "_look_up", side_effect=ConnectionError("gone")):
        for _ in range(4):
            queue.queue(B)
            assert queue.tick() == {B: 1}
    queue.queue(A)
    assert queue.tick() == {}
    assert len(openings(queue)) == 1


def test_two_daemons_by_mistake_open_it_once(same_database: Callable[..., RunQueue]) -> None:
    """Both see the same failures."""
    daemons = [same_database(**TWO), same_database(**TWO)]
    run_ids = start(daemons[0], A, 2)
    for queue in daemons * 2:
        queue.tick()
    fail(daemons[0], *run_ids)
    for queue in daemons * 3:
        queue.tick()
    assert len(openings(daemons[0])) == 1
    live.resume(daemons[0].instance, A)
    for queue in daemons * 3:
        queue.tick()
    assert in_force(daemons[0]).source is Source.NONE


@on_one_storage
@pytest.mark.parametrize(
    "stored", ["3", "[]", '"x"', '{"code-location-a": 3}', '{"code-location-a": {"open": 1}}']
)
def test_what_can_not_be_understood_counts_as_nothing(run_queue: MakeRunQueue, stored: str) -> None:
    """Somebody else has written there."""
    queue = run_queue(**TWO)
    queue.tick()
    text = f'{{"tracked": {{}}, "breakers": {stored}}}'
    queue.instance.daemon_cursor_storage.set_cursor_values({KEY: text})
    queue.coordinator._daemon_seam._ticks._stored = None
    open_breaker(queue)


BY_HAND: dict[str, Any] = {"limit": 2, "breaker": {"failures": 2, "manual_launches": True}}
AUTOMATIC = [
    {"dagster/schedule_name": "hourly"},
    {"dagster/sensor_name": "new_orders"},
    {"dagster/auto_materialize": "true"},
    {"dagster/from_automation_condition": "true"},
    {"dagster/auto_observe": "true"},
    {"dagster/backfill": "x"},
    {"dagster/retry_number": "1", "dagster/parent_run_id": "x"},
    {"dagster/backfill": "x", "dagster/parent_run_id": "x"},
    {"dagster/sensor_name": "s", "dagster/parent_run_id": "x"},  # a sensor can say so of itself
]


@on_one_storage
@pytest.mark.parametrize("tags", AUTOMATIC, ids=", ".join)
def test_with_manual_launches_automatic_runs_are_held(run_queue: MakeRunQueue, tags: dict[str, str]) -> None:
    """Whatever launched them."""
    queue = run_queue(code_location_limits={"default": BY_HAND})
    open_breaker(queue)
    queue.queue(A, 3, tags=tags)
    queue.queue(B)
    assert queue.tick() == {B: 1}
    live.resume(queue.instance, A)
    assert queue.tick() == {A: 2}


@pytest.mark.parametrize(
    "run", [{}, {"tags": {"dagster/schedule_name": "hourly"}, "root_run_id": "x", "parent_run_id": "x"}]
)
def test_manual_launches_pass_within_the_usual_limit(run_queue: MakeRunQueue, run: dict[str, Any]) -> None:
    """Also a scheduled run that somebody executes again."""
    queue = run_queue(code_location_limits={"default": BY_HAND})
    open_breaker(queue)
    queue.queue(A, 3, tags=AUTOMATIC[0], priority=9)
    queue.queue(A, 3, **{**run, "tags": dict(run.get("tags", {}))})
    assert queue.tick() == {A: 2}
    assert queue.tick() == {}
    queue.end(A)
    assert queue.tick() == {A: 1}
    assert in_force(queue).limit == 0


def test_manual_launches_pass_in_the_tick_that_opens_it(run_queue: MakeRunQueue) -> None:
    """And nothing else does."""
    queue = run_queue(code_location_limits={"default": BY_HAND})
    fail(queue, *start(queue, A, 2))
    queue.queue(A, 3, tags=AUTOMATIC[0])
    manual = queue.queue(A)
    assert queue.tick_ids() == manual


def test_an_open_breaker_holds_all_while_nobody_can_tell_who_launched_them(run_queue: MakeRunQueue) -> None:
    """The bodies can't be read; the others go on."""
    queue = run_queue(code_location_limits={"default": BY_HAND})
    open_breaker(queue)
    manual = queue.queue(A)
    queue.queue(B)
    with mock.patch.object(manual_launches, "load_runs", side_effect=ConnectionError("gone")):
        assert queue.tick() == {B: 1}
    assert queue.tick_ids() == manual


def test_a_pause_holds_manual_launches_too(run_queue: MakeRunQueue) -> None:
    """A breaker that lets them pass is no resume."""
    queue = run_queue(code_location_limits={"default": BY_HAND})
    open_breaker(queue)
    live.pause(queue.instance, A)
    queue.queue(A)
    assert queue.tick() == {}


@on_one_storage
def test_automatic_runs_are_held_also_beside_many_manual_launches_that_wait(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest runs, which are looked at when too many of the first are held, are manual launches as well."""
    monkeypatch.setattr(candidates, "CANDIDATES_PER_TICK", 2)
    monkeypatch.setattr(candidates, "CANDIDATES_PER_LOCATION", 2)
    held = {"key": "held", "limit": 0}
    queue = run_queue(tag_concurrency_limits=[held], code_location_limits={"default": BY_HAND})
    open_breaker(queue)
    queue.queue(A, 2, tags=AUTOMATIC[0])
    queue.queue(A, 3, tags={"held": "yes"})
    for _ in range(3):
        assert queue.tick() == {}


@on_one_storage
def test_a_manual_launch_behind_many_held_runs_starts_at_once(run_queue: MakeRunQueue) -> None:
    """Without a body of theirs being loaded, and without keeping slots or a share from others."""
    queue = run_queue(
        max_concurrent_runs=2,
        code_location_limits={"default": BY_HAND, "locations": {A: {"min": 2}}, "sharing": "fair"},
    )
    open_breaker(queue)
    queue.copy(queue.queue(A, tags=AUTOMATIC[0], priority=5)[0], 3000)
    queue.queue(B, 2)
    assert queue.tick() == {B: 2}
    manual = queue.queue(A)
    queue.end(B)
    with mock.patch.object(candidates, "load_runs", wraps=load_runs) as loaded:
        assert queue.tick_ids() == manual
    assert sum(len(list(call.args[1])) for call in loaded.mock_calls) <= 1


@contextmanager
def _killed(step: str) -> Iterator[None]:
    """The daemon is killed while a breaker opens."""
    own = live.write

    def write(*args: Any, **kwargs: Any) -> None:
        if step == "within":
            own(*args, **kwargs)
        raise Killed

    with ExitStack() as stack:
        if step == "after":
            stack.enter_context(mock.patch.object(daemon_state, "write", side_effect=Killed))
        else:
            stack.enter_context(mock.patch.object(live, "write", write))
        stack.enter_context(pytest.raises(Killed))
        yield


def _in_progress(queue: RunQueue) -> list[str]:
    records = queue.instance.get_run_records()
    in_progress = (DagsterRunStatus.STARTING, DagsterRunStatus.STARTED)
    return [record.dagster_run.run_id for record in records if record.dagster_run.status in in_progress]


def _stored(queue: RunQueue) -> str:
    return queue.instance.daemon_cursor_storage.get_cursor_values({KEY}).get(KEY, "")
