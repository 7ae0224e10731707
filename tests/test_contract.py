"""What the coordinator promises, at a glance: each run is tagged before it is queued, and no limit is exceeded.

A real instance in memory, the real coordinator, and real ticks of Dagster's daemon. Only the launcher is Dagster's
own stand-in, which takes a run and leaves it as started.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.store import live
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.test_utils import MockedRunLauncher, create_run_for_test
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

A, B, C = "billing", "shop", "warehouse"


class Deployment:
    """An instance whose runs are queued, started by ticks and ended by hand."""

    def __init__(self, instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator) -> None:
        self.instance = instance
        self.coordinator = coordinator
        self.launcher = MockedRunLauncher()
        self.daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
        for part, name in ((coordinator, "_run_coordinator"), (self.launcher, "_run_launcher")):
            part.register_instance(instance)
            setattr(instance, name, part)

    def queue(self, code_location: str, runs: int = 1, tags: Mapping[str, str] | None = None) -> list[str]:
        """Launch runs of a code location as a webserver does; their ids."""
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(code_location), "repository")
        workspace: Any = None
        made = [
            create_run_for_test(
                self.instance, "job", remote_job_origin=RemoteJobOrigin(repository, "job"), tags=dict(tags or {})
            )
            for _ in range(runs)
        ]
        return [self.coordinator.submit_run(SubmitRunContext(run, workspace)).run_id for run in made]

    def tick(self) -> list[str]:
        """One tick of the daemon; the ids of the runs that it started, in their order."""
        before = len(self.launcher.queue())
        workspace: Any = SimpleNamespace(instance=self.instance, create_request_context=lambda: None)
        list(self.daemon.run_iteration(workspace))
        return [run.run_id for run in self.launcher.queue()[before:]]

    def started(self) -> dict[str, int]:
        """How many runs of each code location one tick starts."""
        runs = [self.instance.get_run_by_id(run_id) for run_id in self.tick()]
        return Counter(run.remote_job_origin.location_name for run in runs if run and run.remote_job_origin)

    def end(self, *run_ids: str) -> None:
        """Let runs end."""
        for run in self.instance.get_runs(RunsFilter(run_ids=list(run_ids))):
            self.instance.report_run_canceled(run)


@contextmanager
def deployed(**options: Any) -> Iterator[Deployment]:
    """A deployment whose coordinator has these options."""
    with DagsterInstance.ephemeral() as instance:
        yield Deployment(instance, CLTQueuedRunCoordinator(**options))


def test_a_run_is_tagged_before_it_is_queued() -> None:
    """With the name of its code location, beside the tags that it has."""
    with deployed() as deployment:
        (run_id,) = deployment.queue(A, tags={"team": "red"})
        run = deployment.instance.get_run_by_id(run_id)
        assert run
        assert run.status is DagsterRunStatus.QUEUED
        assert (run.tags["code_location"], run.tags["team"]) == (A, "red")
        assert deployment.instance.get_run_ids(RunsFilter(tags={"code_location": A})) == [run_id]


def test_each_code_location_has_its_limit() -> None:
    """An exception where one is named, else the default; a limit of 0 holds every run back."""
    with deployed(code_location_limits={"default": 2, "locations": {A: 3, C: 0}}) as deployment:
        for code_location in (A, B, C, "never heard of"):
            deployment.queue(code_location, 5)
        assert deployment.started() == {A: 3, B: 2, "never heard of": 2}
        assert deployment.started() == {}


def test_a_limit_holds_while_runs_end_and_others_come() -> None:
    """A slot that becomes free is filled at the next tick; never more than the limit are in progress."""
    with deployed(code_location_limits={"default": 2}) as deployment:
        deployment.queue(A, 5)
        in_progress = deployment.tick()
        assert len(in_progress) == 2
        for _ in range(3):
            deployment.end(in_progress.pop(0))
            in_progress += deployment.tick()
            assert len(in_progress) == 2


def test_without_a_default_only_those_named_are_limited() -> None:
    """The total of all code locations holds beside their limits."""
    with deployed(max_concurrent_runs=4, code_location_limits={"locations": {A: 1}}) as deployment:
        deployment.queue(A, 3)
        deployment.queue(B, 6)
        assert deployment.started() == {A: 1, B: 3}


def test_a_code_location_at_its_limit_holds_nobody_up() -> None:
    """Runs behind a long queue start at the same tick."""
    with deployed(code_location_limits={"default": 1}) as deployment:
        deployment.queue(A, 50)
        deployment.queue(B)
        assert deployment.started() == {A: 1, B: 1}


@pytest.mark.parametrize("priorities", [("0", "5"), ("-1", "0")])
def test_the_higher_priority_starts_first_and_then_the_older_run(priorities: tuple[str, str]) -> None:
    """Dagster's own order, within the limit."""
    low, high = ({"dagster/priority": priority} for priority in priorities)
    with deployed(code_location_limits={"default": 3}) as deployment:
        oldest, *_ = deployment.queue(A, 2, low)
        urgent = deployment.queue(A, 2, high)
        assert deployment.tick() == [*urgent, oldest]


def test_a_free_slot_goes_to_whoever_is_furthest_below_its_share() -> None:
    """With `sharing: fair` a flood of one code location doesn't keep another one waiting."""
    with deployed(max_concurrent_runs=4, code_location_limits={"sharing": "fair"}) as deployment:
        deployment.queue(A, 20)
        deployment.queue(B, 20)
        assert deployment.started() == {A: 2, B: 2}


def test_a_pause_holds_one_code_location_until_it_is_resumed() -> None:
    """Its runs in progress go on, its queue is kept, and the others never notice."""
    with deployed(code_location_limits={"default": 2}) as deployment:
        live.pause(deployment.instance, A)
        deployment.queue(A, 3)
        deployment.queue(B, 3)
        assert deployment.started() == {B: 2}
        live.resume(deployment.instance, A)
        assert deployment.started() == {A: 2}


def test_a_limit_changes_without_a_restart() -> None:
    """At the next tick, for more runs or for fewer; nothing in progress is ended."""
    with deployed(code_location_limits={"default": 1}) as deployment:
        deployment.queue(A, 9)
        live.set_limit(deployment.instance, A, 3)
        in_progress = deployment.tick()
        assert len(in_progress) == 3
        live.set_limit(deployment.instance, A, 2)
        deployment.end(in_progress[0])
        assert deployment.tick() == []


LIES = [{"code_location": B}, {".dagster/repository": f"repository@{B}"}, {"dagster/code_location": B}]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: next(iter(lie)))
def test_a_tag_that_lies_changes_nothing(lie: dict[str, str]) -> None:
    """Whose run it is, its origin says: it counts under its own limit and leaves the other one's alone."""
    with deployed(code_location_limits={"default": 2}) as deployment:
        liars = deployment.queue(A, 4, lie)
        deployment.queue(B, 3)
        assert deployment.started() == {A: 2, B: 2}
        run = deployment.instance.get_run_by_id(liars[0])
        assert run
        assert run.tags["code_location"] == A


def test_a_queue_has_an_end_where_one_is_configured() -> None:
    """A run over `max_queued` is refused with its reason, and others are taken as before."""
    with deployed(code_location_limits={"default": 1, "locations": {A: {"max_queued": 2}}}) as deployment:
        deployment.queue(A, 2)
        with pytest.raises(Exception, match=r"max_queued|longest queue|queued"):
            deployment.queue(A)
        deployment.queue(B, 3)
