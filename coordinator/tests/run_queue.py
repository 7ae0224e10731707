"""A queue of runs in this process: a real instance, a real coordinator and real ticks of the daemon.

Only the launcher is Dagster's own stand-in, which takes a run and leaves it as started.
"""

import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY, CLTQueuedRunCoordinator
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.storage.dagster_run import RunOpConcurrency
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.tags import PRIORITY_TAG
from dagster._core.test_utils import MockedRunLauncher, create_run_for_test, instance_for_test
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

try:
    from dagster._core import remote_origin as origins
except ImportError:  # Dagster 1.10
    from dagster._core.remote_representation import origin as origins  # type: ignore[attr-defined,no-redef]

MODULE = "clt_queued_run_coordinator.coordinator"
A = "code-location-a"
B = "code-location-b"


def job_origin(code_location: str) -> Any:
    """Where a run of a code location comes from, as a webserver or a daemon fills it in."""
    return origins.RemoteJobOrigin(
        origins.RemoteRepositoryOrigin(origins.RegisteredCodeLocationOrigin(code_location), "repository"), "job"
    )


def code_origin(image: str | None = None) -> JobPythonOrigin:
    """Where the code of a run lies, and the image that it is in."""
    pointer = ModuleCodePointer("module", "definitions", working_directory=None)
    return JobPythonOrigin("job", RepositoryPythonOrigin(sys.executable, pointer, image))


CODE_ORIGIN = code_origin()


class RunQueue:
    """A queue to fill, to tick and to look at."""

    def __init__(self, instance: DagsterInstance) -> None:
        self.instance = instance
        self.daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)

    @property
    def coordinator(self) -> CLTQueuedRunCoordinator:
        """The coordinator under test."""
        coordinator = self.instance.run_coordinator
        assert isinstance(coordinator, CLTQueuedRunCoordinator)
        return coordinator

    def create(self, code_location: str | None, pool: str | None = None, **options: Any) -> DagsterRun:
        """A run that isn't queued yet; with a pool, one that can only start where the pool has room."""
        run: DagsterRun = create_run_for_test(
            self.instance,
            job_name=options.pop("job_name", "job"),
            remote_job_origin=job_origin(code_location) if code_location else None,
            job_code_origin=code_origin(options.pop("image", None)),
            **options,
        )
        if pool:
            needs = RunOpConcurrency(
                root_key_counts={pool: 1}, has_unconstrained_root_nodes=False, all_pools={pool}
            )
            self.instance.delete_run(run.run_id)
            self.instance.add_run(run._replace(run_op_concurrency=needs))
        return run

    def submit(self, code_location: str, tags: Mapping[str, str] | None = None, **options: Any) -> DagsterRun:
        """Queue a run the way that Dagster does: through the coordinator."""
        run = self.create(code_location, tags=dict(tags or {}), **options)
        workspace: Any = None
        return self.coordinator.submit_run(SubmitRunContext(run, workspace))

    def queue(self, code_location: str, runs: int = 1, priority: int | None = None, **options: Any) -> list[str]:
        """Queue several runs; returns their ids."""
        tags = {PRIORITY_TAG: str(priority)} if priority is not None else {}
        tags |= options.pop("tags", {})
        return [self.submit(code_location, tags, **options).run_id for _ in range(runs)]

    def put(
        self,
        code_location: str | None,
        status: DagsterRunStatus,
        runs: int = 1,
        tag: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Put runs into the storage as they are, past the coordinator; tagged only where a tag is given."""
        all_tags = {**({CLT_TAG_KEY: tag} if tag else {}), **(tags or {})}
        return [self.create(code_location, status=status, tags=all_tags).run_id for _ in range(runs)]

    def copy(self, run_id: str, copies: int) -> list[str]:
        """Many copies of a run as it is stored, with ids of their own, by two statements; returns their ids."""
        ids = [str(uuid.uuid4()) for _ in range(copies)]
        with self.storage.connect() as connection:
            row = connection.execute(RunsTable.select().where(RunsTable.c.run_id == run_id)).mappings().one()
            tags = (
                connection.execute(RunTagsTable.select().where(RunTagsTable.c.run_id == run_id)).mappings().all()
            )
            columns = {key: value for key, value in row.items() if key not in {"id", "run_id", "run_body"}}
            body = str(row["run_body"])
            connection.execute(
                RunsTable.insert(),
                [{**columns, "run_id": copy, "run_body": body.replace(run_id, copy)} for copy in ids],
            )
            if tags:
                connection.execute(
                    RunTagsTable.insert(),
                    [{"run_id": copy, "key": tag["key"], "value": tag["value"]} for copy in ids for tag in tags],
                )
        return ids

    def tag_rows(self, run_id: str) -> list[str]:
        """The code locations that the rows of a run's tags name; there should be just one."""
        query = RunTagsTable.select().where(RunTagsTable.c.run_id == run_id, RunTagsTable.c.key == CLT_TAG_KEY)
        with self.storage.connect() as connection:
            return [str(row["value"]) for row in connection.execute(query).mappings()]

    def tick(self) -> dict[str, int]:
        """One tick of the daemon; returns how many runs of each code location it started."""
        started: dict[str, int] = {}
        for run_id in self.tick_ids():
            run = self.run(run_id)
            assert run.remote_job_origin
            name = run.remote_job_origin.location_name
            started[name] = started.get(name, 0) + 1
        return started

    def tick_ids(self) -> list[str]:
        """One tick of the daemon; returns the ids of the runs that it started, in their order."""
        before = len(self.launcher.queue())
        list(self.daemon.run_iteration(self._workspace()))
        return [run.run_id for run in self.launcher.queue()[before:]]

    def end(self, code_location: str, runs: int = 1) -> None:
        """Let runs in progress of a code location succeed, the oldest first."""
        ended = 0
        for run in reversed(self.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTING]))):
            if ended < runs and run.remote_job_origin and run.remote_job_origin.location_name == code_location:
                self.instance.report_run_canceled(run)
                ended += 1
        assert ended == runs, f"only {ended} runs of {code_location} are in progress"

    def run(self, run_id: str) -> DagsterRun:
        """A run as the storage has it now."""
        run = self.instance.get_run_by_id(run_id)
        assert run
        return run

    def queued(self, code_location: str) -> int:
        """How many runs of a code location are queued, by their origin."""
        return self._count(code_location, DagsterRunStatus.QUEUED)

    def in_progress(self, code_location: str) -> int:
        """How many runs of a code location are in progress, by their origin."""
        return self._count(code_location, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED)

    def _count(self, code_location: str, *statuses: DagsterRunStatus) -> int:
        return sum(
            1
            for run in self.instance.get_runs(RunsFilter(statuses=list(statuses)))
            if run.remote_job_origin and run.remote_job_origin.location_name == code_location
        )

    @property
    def storage(self) -> SqlRunStorage:
        """Where the runs are stored."""
        storage = self.instance.run_storage
        assert isinstance(storage, SqlRunStorage)
        return storage

    @property
    def launcher(self) -> MockedRunLauncher:
        """What takes the started runs."""
        launcher = self.instance.run_launcher
        assert isinstance(launcher, MockedRunLauncher)
        return launcher

    def _workspace(self) -> Any:
        return SimpleNamespace(instance=self.instance, create_request_context=lambda: None)


@contextmanager
def ephemeral_run_queue(config: Mapping[str, Any], concurrency: Mapping[str, Any]) -> Iterator[RunQueue]:
    """A queue on `DagsterInstance.ephemeral()`, which takes no coordinator: one is registered."""
    with DagsterInstance.ephemeral(
        settings={"concurrency": dict(concurrency)} if concurrency else None
    ) as instance:
        instance._run_coordinator = CLTQueuedRunCoordinator(**config)
        instance._run_coordinator.register_instance(instance)
        instance._run_launcher = MockedRunLauncher()
        instance._run_launcher.register_instance(instance)
        yield RunQueue(instance)


@contextmanager
def stored_run_queue(
    config: Mapping[str, Any], concurrency: Mapping[str, Any], storage: Mapping[str, Any] | None = None
) -> Iterator[RunQueue]:
    """A queue that others can open too, all of it loaded from a `dagster.yaml`; on SQLite without a storage."""
    overrides = {
        **({"storage": dict(storage)} if storage else {}),
        "run_coordinator": {"module": MODULE, "class": "CLTQueuedRunCoordinator", "config": dict(config)},
        "run_launcher": {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"},
        **({"concurrency": dict(concurrency)} if concurrency else {}),
    }
    with tempfile.TemporaryDirectory() as folder, instance_for_test(overrides, temp_dir=folder) as instance:
        yield RunQueue(instance)


@contextmanager
def held_connections(instance: DagsterInstance) -> Iterator[None]:
    """Let an instance on PostgreSQL keep its connections open, as a webserver's does.

    A daemon's opens one for each statement or two, which takes most of a test's time.
    """
    instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=-1, max_overflow=-1)
    try:
        yield
    finally:
        for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
            storage._engine.dispose()  # type: ignore[union-attr]


@contextmanager
def postgresql_run_queue(
    url: str, config: Mapping[str, Any], concurrency: Mapping[str, Any]
) -> Iterator[RunQueue]:
    """A queue on PostgreSQL."""
    storage = {"postgres": {"postgres_url": url}}
    with stored_run_queue(config, concurrency, storage) as queue, held_connections(queue.instance):
        yield queue


@contextmanager
def in_the_middle_of_a_tick(queue: RunQueue, action: Callable[[], object]) -> Iterator[None]:
    """Let something happen in the first tick from here on, just before the daemon reads the runs in progress.

    What the coordinator works out at the begin of a tick is older than that; the daemon's look at the queue,
    and whatever it starts, comes after it.
    """
    own = queue.daemon._get_in_progress_run_records
    happened: list[bool] = []

    def read(instance: DagsterInstance) -> Any:
        if not happened:
            happened.append(True)
            # Somebody else does it: what is asked for isn't asked by the daemon.
            with mock.patch("clt_queued_run_coordinator.daemon.seam.daemon_step", return_value=None):
                action()
        return own(instance)

    with mock.patch.object(queue.daemon, "_get_in_progress_run_records", read):
        yield
    assert happened, "no tick came so far as to read the runs in progress"
