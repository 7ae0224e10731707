"""A launch that hangs holds up nobody else, and is made once."""

import threading
from collections.abc import Callable, Iterator

import pytest
from clt_queued_run_coordinator.daemon import launches
from dagster import DagsterEvent, DagsterEventType, DagsterRunStatus
from dagster._core.launcher import LaunchRunContext
from harness.waiting import wait_until
from tests.in_process.test_explain import explained
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]


class Hanging:
    """A launcher whose launches of one code location wait, and then succeed or fail."""

    def __init__(self, queue: RunQueue) -> None:
        self.launched: list[str] = []
        self.go_on = threading.Event()
        self.error: Exception | None = None
        queue.launcher.launch_run = self.launch_run  # type: ignore[method-assign]

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch a run."""
        run = context.dagster_run
        self.launched.append(run.run_id)
        if run.remote_job_origin and run.remote_job_origin.location_name == A:
            self.go_on.wait(60)
            if self.error:
                raise self.error


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick waits for a launch only a moment."""
    monkeypatch.setattr(launches, "LAUNCH_SECONDS", 0.2)


@pytest.fixture
def queue(run_queue: MakeRunQueue) -> RunQueue:
    """A queue with limits."""
    return run_queue(max_concurrent_runs=4, code_location_limits={"default": 2})


@pytest.fixture
def hanging(queue: RunQueue) -> Iterator[Hanging]:
    """Its launcher, which goes on at the end."""
    launcher = Hanging(queue)
    yield launcher
    launcher.go_on.set()


def test_the_others_start_meanwhile_and_it_is_made_once(queue: RunQueue, hanging: Hanging) -> None:
    """Its run is starting and keeps its slot, tick after tick."""
    held = queue.queue(A)
    queue.tick()
    others = queue.queue(B, 2)
    queue.tick()
    queue.tick()
    assert hanging.launched == [held[0], *others]
    assert queue.in_progress(A) == 1


def test_no_other_run_of_its_code_location_starts_until_it_has_ended(queue: RunQueue, hanging: Hanging) -> None:
    """Else each of them would hold the tick up again, and hang as well. They stay queued, and the others start."""
    first, second = queue.queue(A, 2)
    others = queue.queue(B, 2)
    queue.tick()
    assert hanging.launched == [first, *others]
    queue.tick()
    assert queue.run(second).status is DagsterRunStatus.QUEUED
    hanging.go_on.set()
    wait_until("the launch has ended", lambda: not _launching(), every=0.1)
    wait_until("the second one starts", lambda: queue.tick_ids() or second in hanging.launched, every=0.1)


def test_explain_names_a_launch_that_hangs(queue: RunQueue, hanging: Hanging) -> None:
    """Its code location's other runs wait for it."""
    first, second = queue.queue(A, 2)
    queue.tick()
    queue.tick()
    held_by = explained(queue, second).held_by
    assert [(of.kind, [holder.run_id for holder in of.holders]) for of in held_by] == [("launch", [first])]
    assert hanging.launched == [first]


def test_explain_names_it_also_once_its_run_is_canceled(queue: RunQueue, hanging: Hanging) -> None:
    """It hangs all the same, and so would the next one."""
    first, second = queue.queue(A, 2)
    queue.tick()
    queue.instance.report_run_canceled(queue.run(first))
    queue.tick()
    assert hanging.launched == [first]
    assert [of.kind for of in explained(queue, second).held_by] == ["launch"]


def test_its_code_location_takes_no_slots_from_the_others(queue: RunQueue, hanging: Hanging) -> None:
    """Its other runs are not offered at all, so the slots are the others'. Here A goes first."""
    (first,) = queue.queue(A)
    queue.tick()
    queue.queue(A, 3)
    queue.put(B, DagsterRunStatus.STARTED)
    others = queue.queue("code-location-c", 2)
    queue.tick()
    assert hanging.launched == [first, *others]


def test_a_launch_without_an_end_holds_the_others_only_for_a_while(
    queue: RunQueue, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then one of them is tried."""
    run_ids = queue.queue(A, 2)
    queue.tick()
    monkeypatch.setattr(launches, "HELD_SECONDS", 0.0)
    queue.tick()
    assert hanging.launched == run_ids


def test_a_launch_that_fails_late_fails_its_run(queue: RunQueue, hanging: Hanging) -> None:
    """As Dagster does with one that fails in time; the slot is free."""
    hanging.error = RuntimeError("no answer")
    (run_id,) = queue.queue(A)
    queue.tick()
    assert queue.run(run_id).status is DagsterRunStatus.STARTING
    hanging.go_on.set()
    wait_until("the run fails", lambda: queue.run(run_id).status is DagsterRunStatus.FAILURE, every=0.1)


def test_a_launch_that_fails_late_leaves_a_run_alone_that_runs(queue: RunQueue, hanging: Hanging) -> None:
    """The API server had done it, and its answer was lost."""
    hanging.error = RuntimeError("no answer")
    (run_id,) = queue.queue(A)
    queue.tick()
    queue.instance.run_storage.handle_run_event(run_id, _started(queue, run_id))
    hanging.go_on.set()
    wait_until("the launch has ended", lambda: not _launching(), every=0.1)
    assert queue.run(run_id).status is DagsterRunStatus.STARTED


def test_a_launch_that_fails_in_time_is_dagsters(queue: RunQueue, hanging: Hanging) -> None:
    """With its message in the event log of the run."""
    hanging.error = RuntimeError("refused")
    hanging.go_on.set()
    (run_id,) = queue.queue(A)
    queue.tick()
    assert queue.run(run_id).status is DagsterRunStatus.FAILURE


def _started(queue: RunQueue, run_id: str) -> DagsterEvent:
    return DagsterEvent(
        event_type_value=DagsterEventType.PIPELINE_START.value, job_name=queue.run(run_id).job_name
    )


def _launching() -> bool:
    return any(thread.name == "launch" for thread in threading.enumerate())
