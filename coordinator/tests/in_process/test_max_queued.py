"""`max_queued`: what is submitted beyond it is refused, and never more is queued, whoever submits at once."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from unittest import mock

import pytest
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY, CLTQueuedRunCoordinator
from clt_queued_run_coordinator.submit import submit_lock
from clt_queued_run_coordinator.submit.max_queued import QueueFullError
from clt_queued_run_coordinator.submit.refused import PREFIX, read_refused
from clt_queued_run_coordinator.submit.submit_lock import SubmitLockError
from dagster import DagsterRun, DagsterRunStatus, QueuedRunCoordinator
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.storage.runs.schema import RunTagsTable
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from tests.in_process.statements import Statements
from tests.in_process.storages import on_one_storage
from tests.in_process.submitter import submitted
from tests.postgresql import PostgreSQL
from tests.run_queue import A, B, RunQueue, held_connections, stored_run_queue

MakeRunQueue = Callable[..., RunQueue]
LIMIT = 5
TWO_EACH = {"default": {"max_queued": 2}}
TWO = {"locations": {A: {"max_queued": 2}}}


def refused(queue: RunQueue) -> dict[str, int]:
    """What was counted."""
    with queue.storage.connect() as connection:
        return read_refused(connection)


def submit(queue: RunQueue, code_location: str) -> str:
    """Submit a run as Dagster does, which lets a run fail that its coordinator refuses."""
    run_id = queue.create(code_location).run_id
    workspace: Any = None
    queue.instance.submit_run(run_id, workspace)
    return run_id


def test_a_run_beyond_max_queued_fails_with_the_cause_and_the_cure_in_its_event_log(
    run_queue: MakeRunQueue,
) -> None:
    """Tagged nevertheless, so that it is found among its code location's runs."""
    queue = run_queue(code_location_limits=TWO)
    queue.queue(A, 2)
    run_id = queue.create(A).run_id
    workspace: Any = None
    with pytest.raises(QueueFullError, match=f"max_queued of code location '{A}' is 2"):
        queue.instance.submit_run(run_id, workspace)
    assert queue.run(run_id).status is DagsterRunStatus.FAILURE
    messages = [record.message for record in queue.instance.all_logs(run_id)]
    assert any("max_queued" in message and "raise max_queued in" in message for message in messages)
    assert queue.queued(A) == 2
    assert queue.tag_rows(run_id) == [A]


def test_refusals_are_counted_by_code_location(run_queue: MakeRunQueue) -> None:
    """Whatever the code location is called."""
    queue = run_queue(code_location_limits={"default": {"max_queued": 0}, "locations": {B: {"max_queued": 1}}})
    queue.queue(B)
    for name in (A, B, A, "50% of 'it'/ß"):
        with pytest.raises(QueueFullError):
            queue.submit(name)
    assert refused(queue) == {A: 2, B: 1, "50% of 'it'/ß": 1}


def test_a_count_that_cannot_be_raised_does_not_stand_in_for_the_refusal(run_queue: MakeRunQueue) -> None:
    """PostgreSQL refuses to reckon with it, SQLite takes it for 0."""
    queue = run_queue(code_location_limits={"default": {"max_queued": 0}})
    queue.instance.daemon_cursor_storage.set_cursor_values({f"{PREFIX}{A}": "no number"})
    with pytest.raises(QueueFullError):
        queue.submit(A)
    assert set(refused(queue)) <= {A}


def test_other_code_locations_are_not_held_up(run_queue: MakeRunQueue) -> None:
    """One that has no max_queued itself."""
    queue = run_queue(code_location_limits=TWO)
    queue.queue(A, 2)
    assert len(queue.queue(B, 4)) == 4


def test_a_run_that_leaves_the_queue_makes_room(run_queue: MakeRunQueue) -> None:
    """Whether it was canceled or started."""
    queue = run_queue(code_location_limits=TWO)
    first, _ = queue.queue(A, 2)
    with pytest.raises(QueueFullError):
        queue.submit(A)
    queue.coordinator.cancel_run(first)
    queue.submit(A)
    assert queue.tick() == {A: 2}
    assert len(queue.queue(A, 2)) == 2


def test_a_run_that_is_queued_already_is_not_refused(run_queue: MakeRunQueue) -> None:
    """To submit it again is what Dagster does after an interruption; it changes nothing."""
    queue = run_queue(code_location_limits={"default": {"max_queued": 1}})
    run_id = submit(queue, A)
    workspace: Any = None
    queue.instance.submit_run(run_id, workspace)
    assert queue.run(run_id).status is DagsterRunStatus.QUEUED
    assert refused(queue) == {}


def test_only_the_code_location_itself_counts(run_queue: MakeRunQueue) -> None:
    """Not those with names that a pattern, or a comparison without case, would take for it."""
    queue = run_queue(code_location_limits=TWO)
    for other in (f"x@{A}", A.upper(), A.replace("-", "_"), f"%{A}", f"{A}%", f" {A}"):
        queue.put(other, DagsterRunStatus.QUEUED, tag=A)
    queue.queue(A, 2)
    with pytest.raises(QueueFullError):
        queue.submit(A)


def test_a_code_location_with_an_at_sign_is_counted(run_queue: MakeRunQueue) -> None:
    """And the runs of one that it ends with don't count."""
    queue = run_queue(code_location_limits={"default": {"max_queued": 2}})
    queue.put("y", DagsterRunStatus.QUEUED, 3)
    queue.queue("x@y", 2)
    with pytest.raises(QueueFullError):
        queue.submit("x@y")


def test_a_run_without_its_label_is_counted_by_its_body(run_queue: MakeRunQueue) -> None:
    """Which nobody but Dagster writes, and nobody should delete."""
    queue = run_queue(code_location_limits=TWO)
    queue.put(B, DagsterRunStatus.QUEUED, 3)
    queue.queue(A)
    with queue.storage.connect() as connection:
        connection.execute(RunTagsTable.delete().where(RunTagsTable.c.key == REPOSITORY_LABEL_TAG))
    queue.submit(A)
    with pytest.raises(QueueFullError):
        queue.submit(A)


def test_a_run_with_doubled_labels_is_counted_once(run_queue: MakeRunQueue) -> None:
    """Older versions left such rows."""
    queue = run_queue(code_location_limits={"locations": {A: {"max_queued": 3}}})
    rows = [
        {"run_id": run_id, "key": REPOSITORY_LABEL_TAG, "value": f"repository@{A}"} for run_id in queue.queue(A, 2)
    ]
    queue.put(B, DagsterRunStatus.QUEUED, 3)
    with queue.storage.connect() as connection:
        connection.execute(RunTagsTable.insert(), rows)
    queue.submit(A)
    with pytest.raises(QueueFullError):
        queue.submit(A)


def test_a_run_that_left_the_queue_makes_room(run_queue: MakeRunQueue) -> None:
    """At once, not only at the daemon's next tick."""
    queue = run_queue(code_location_limits={"locations": {A: {"max_queued": 3, "limit": 0}, B: 0}})
    queue.queue(B, 5)
    run_ids = queue.queue(A, 3)
    assert queue.tick() == {}
    queue.coordinator.cancel_run(run_ids[0])
    queue.submit(A)
    with pytest.raises(QueueFullError):
        queue.submit(A)


@on_one_storage
def test_where_it_is_off_nothing_is_asked(run_queue: MakeRunQueue) -> None:
    """Neither at a submit nor at a tick: the other code location's option costs this one's submits nothing."""
    queue = run_queue(code_location_limits={"locations": {A: 0, B: {"max_queued": 5}}})
    plain = run_queue(code_location_limits={"locations": {A: 0}})
    asked = []
    for each in (queue, plain):
        each.submit(A)
        with Statements() as statements:
            each.submit(A)
        asked.append(statements.executed)
    assert asked[0] == asked[1]


def test_a_submit_that_fails_lets_the_next_one_pass(run_queue: MakeRunQueue) -> None:
    """Its lock is gone with it."""
    queue = run_queue(code_location_limits=TWO)
    with (
        mock.patch.object(QueuedRunCoordinator, "submit_run", side_effect=RuntimeError("broken")),
        pytest.raises(RuntimeError, match="broken"),
    ):
        queue.submit(A)
    assert len(queue.queue(A, 2)) == 2


def test_a_submit_does_not_wait_for_ever(run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one hangs, and keeps the only place there is."""
    monkeypatch.setattr(submit_lock, "HUNG_SECONDS", 1)
    queue = run_queue(code_location_limits={"locations": {A: {"max_queued": 1}}})
    with (
        queue.coordinator._queue_limiter.reserved_room(queue.instance, "another", A, 1, lambda _: None),
        pytest.raises(SubmitLockError, match="other submits have held its lock for 1 s"),
    ):
        queue.submit(A)
    queue.submit(A)


@on_one_storage
def test_a_submit_waits_longer_where_those_before_it_go_on(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow database refuses none of those who submit at once."""
    monkeypatch.setattr(submit_lock, "HUNG_SECONDS", 3)
    queue = run_queue(code_location_limits={"locations": {A: {"max_queued": 6}}})
    runs = [queue.create(A) for _ in range(6)]
    workspace: Any = None
    own = QueuedRunCoordinator.submit_run

    def slowly(coordinator: CLTQueuedRunCoordinator, context: SubmitRunContext) -> DagsterRun:
        time.sleep(0.8)
        return own(coordinator, context)

    with mock.patch.object(QueuedRunCoordinator, "submit_run", slowly), ThreadPoolExecutor(6) as threads:
        contexts = [SubmitRunContext(run, workspace) for run in runs]
        list(threads.map(queue.coordinator.submit_run, contexts))
    assert queue.queued(A) == 6


@pytest.mark.parametrize("run_queue", ["postgresql"], indirect=True)
def test_the_whole_wait_is_bounded(run_queue: MakeRunQueue) -> None:
    """What the threads of this process have waited for each other is no longer left for other processes."""
    queue = run_queue(code_location_limits=TWO)
    run, workspace = queue.create(A), cast("Any", None)
    with (
        mock.patch.object(
            submit_lock, "time", mock.Mock(monotonic=mock.Mock(side_effect=[0.0, 0.0, 14.0, 14.5, 14.6]))
        ),
        mock.patch.object(submit_lock, "_on_postgresql", wraps=submit_lock._on_postgresql) as waits,
    ):
        queue.coordinator.submit_run(SubmitRunContext(run, workspace))
    assert waits.call_args.args[2] == 0.5


@pytest.fixture(params=["sqlite", "postgresql"])
def limited(request: pytest.FixtureRequest) -> Iterator[RunQueue]:
    """A queue that others can open too, for LIMIT runs of a; b fills it, so that the runs have to be counted."""
    storage = None
    if request.param == "postgresql":
        storage = {"postgres": {"postgres_url": request.getfixturevalue("new_database")()}}
    config = {"code_location_limits": {"locations": {A: {"max_queued": LIMIT}}}}
    with stored_run_queue(config, {}, storage) as queue:
        queue.copy(queue.put(B, DagsterRunStatus.QUEUED)[0], LIMIT)
        yield queue


def test_many_who_submit_at_once_never_queue_more(limited: RunQueue) -> None:
    """In threads of two processes; the refusals are all counted."""
    home = limited.instance.root_directory
    command = [sys.executable, "-m", "tests.in_process.submitter", home, A, "8"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        queued = submitted(limited, A, 8) + int(other.stdout.readline())
    assert queued == limited.queued(A) == LIMIT
    assert refused(limited) == {A: 2 * 8 - LIMIT}


def test_many_who_submit_at_once_are_not_refused_while_there_is_room(limited: RunQueue) -> None:
    """As many as there may be."""
    assert submitted(limited, A, LIMIT) == LIMIT
    assert refused(limited) == {}


def test_what_was_queued_is_queued_even_if_the_lock_is_lost_meanwhile(
    postgresql: PostgreSQL, new_database: Callable[[], str]
) -> None:
    """The run isn't taken to have failed."""
    url = new_database()
    config = {"code_location_limits": TWO}
    with stored_run_queue(config, {}, {"postgres": {"postgres_url": url}}) as queue:
        own = QueuedRunCoordinator.submit_run

        def submit_and_cut(self: Any, context: Any) -> Any:
            run = own(self, context)
            postgresql.cut_connections(url.rpartition("/")[2])
            return run

        with mock.patch.object(QueuedRunCoordinator, "submit_run", submit_and_cut):
            queue.submit(A)
        queue.submit(A)
        assert queue.queued(A) == 2


@pytest.mark.parametrize("label", [f"r@{B}", "r@", "nothing", "", "r@x@y"])
def test_a_forged_label_counts_for_nobody_else(run_queue: MakeRunQueue, label: str) -> None:
    """A user's tag `.dagster/repository` neither makes room in the own queue nor fills another one."""
    queue = run_queue(code_location_limits=TWO)
    for _ in range(2):
        queue.submit(A, {REPOSITORY_LABEL_TAG: label})
    with pytest.raises(QueueFullError):
        queue.submit(A, {REPOSITORY_LABEL_TAG: label})
    assert queue.submit(B)


def test_a_forged_run_that_came_past_the_coordinator_is_not_remembered_for_another(
    run_queue: MakeRunQueue,
) -> None:
    """Both of its tags name another code location, whose queue it doesn't fill."""
    queue = run_queue(code_location_limits=TWO_EACH)
    forged = {REPOSITORY_LABEL_TAG: f"repository@{B}", CLT_TAG_KEY: B}
    for _ in range(2):
        queue.create(A, status=DagsterRunStatus.QUEUED, tags=forged)
    assert queue.submit(B)
    with pytest.raises(QueueFullError):
        queue.submit(A)


def test_a_run_with_the_id_of_a_deleted_one_is_counted_for_its_own_code_location(run_queue: MakeRunQueue) -> None:
    """SQLite gives an id again, and what a process remembers of the deleted run doesn't count."""
    queue = run_queue(code_location_limits=TWO_EACH)
    queue.queue(A, 2)
    with pytest.raises(QueueFullError):
        queue.submit(A)
    for run in queue.instance.get_runs():
        queue.instance.delete_run(run.run_id)
    queue.queue(B, 2)
    with pytest.raises(QueueFullError):
        queue.submit(B)


def test_submits_leave_connections_to_each_other(new_database: Callable[[], str]) -> None:
    """A webserver has a number of connections, and each submit needs a second one while it holds the first.

    Dagster makes the coordinator without a lock. So the first submits may each have one of their own.
    """
    most = submit_lock.SUBMITS_AT_ONCE
    all_hold_one = threading.Barrier(most)
    own = QueuedRunCoordinator.submit_run

    def submit(self: Any, context: Any) -> Any:
        all_hold_one.wait(timeout=60)
        return own(self, context)

    storage = {"postgres": {"postgres_url": new_database()}}
    with (
        stored_run_queue({"code_location_limits": TWO_EACH}, {}, storage) as queue,
        held_connections(queue.instance),
        mock.patch.object(QueuedRunCoordinator, "submit_run", submit),
        ThreadPoolExecutor(2 * most) as threads,
    ):
        runs = [queue.create(f"code-location-{number}") for number in range(2 * most)]
        # As many connections as submits: if all of these held one, none would be left for the second.
        queue.instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=-1, max_overflow=2 * most - 1)
        workspace: Any = None

        def submit_by_another_coordinator(run: DagsterRun) -> None:
            coordinator = CLTQueuedRunCoordinator(code_location_limits=TWO_EACH)
            coordinator.register_instance(queue.instance)
            coordinator.submit_run(SubmitRunContext(run, workspace))

        list(threads.map(submit_by_another_coordinator, runs))
        assert [queue.queued(f"code-location-{number}") for number in range(2 * most)] == 2 * most * [1]
