"""How many connections to PostgreSQL each part of a deployment holds open, and for how long.

They are read from the log of a real PostgreSQL, where each part connects under a name of its own.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import requests
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from dagster import DagsterInstance, DagsterRunStatus, JobDefinition, RunsFilter, reconstructable
from dagster._grpc.types import ExecuteRunArgs
from harness.launches import launch_of
from harness.process import Process, free_port
from harness.system import System, trial_config
from harness.waiting import wait_until
from tests.run_queue import A, B, RunQueue

from benchmarks import connection_log
from benchmarks.connection_log import Connections, at_once
from benchmarks.instances import open_queue, postgresql_storage, write_home
from benchmarks.measure import NOTHING, Bench, Row
from benchmarks.parallel_steps import STEPS, one_step, parallel_steps

PAGES = """
{
  runsOrError(limit: 30) { ... on Runs { results { id status tags { key value } } } }
  instance { daemonHealth { allDaemonStatuses { daemonType healthy lastHeartbeatTime } } }
}
"""
"""What an open page of the UI asks for again and again, near enough: the list of runs and the daemons' health."""


class Recorder:
    """Turns what happens in a part of the deployment into rows."""

    def __init__(self, bench: Bench) -> None:
        self._server = bench.server
        self._show = bench.show
        self._done = 0
        connection_log.record(bench.server)

    def rows(self, case: str, program: str, action: Callable[[], object], per: int = 1) -> Iterator[Row]:
        """Do something and tell what a program opened meanwhile.

        Args:
            case: What is done, for the table.
            program: The name that the program connects under.
            action: Does it.
            per: How often the action does it.
        """
        self._show(case, self._done, self._done + 1)
        self._done += 1
        since = connection_log.position(self._server)
        action()
        yield from _rows(case, connection_log.read(self._server, program, since), per)


def _rows(case: str, found: Connections, per: int) -> Iterator[Row]:
    def row(what: str, unit: str, value: float) -> Row:
        return Row("connections", f"{case}: {what}", unit, [value], [], NOTHING)

    yield row("opened", "connections", round(found.opened / per, 1))
    yield row("open at once", "connections", at_once(found.open))
    yield row("busy at once", "connections", at_once(found.busy))
    for name, intervals in (("open", found.open), ("busy", found.busy)):
        seconds = [each.seconds for each in intervals] or [0.0]
        yield row(f"{name}, usually", "s", median(seconds))
        yield row(f"{name}, longest", "s", max(seconds))
    yield row("busy in all", "s", sum(each.seconds for each in found.busy) / per)


@contextmanager
def connecting_as(program: str) -> Iterator[None]:
    """Let this process connect under a name."""
    os.environ["PGAPPNAME"] = program
    try:
        yield
    finally:
        del os.environ["PGAPPNAME"]


def run(bench: Bench) -> Iterator[Row]:
    """Every part, one after the other."""
    recorder = Recorder(bench)
    yield from _of_the_coordinator(bench, recorder)
    yield from _of_run_workers(bench, recorder)
    yield from _of_programs(bench, recorder)


def _of_the_coordinator(bench: Bench, recorder: Recorder) -> Iterator[Row]:
    """Ticks and submits in this process, where nothing else happens."""
    for kept, case in ((10, "tick"), (0, "tick, none kept")):
        queue = _queue(bench, f"ticks_{kept}", limited(default=10, daemon_connections=kept))
        with connecting_as("tick"):
            queue.tick()
            yield from recorder.rows(f"{case}, nothing queued", "tick", lambda: _times(10, queue.tick), per=10)  # noqa: B023 - called at once
            queue.queue(A, 8)
            yield from recorder.rows(f"{case}, 8 runs started", "tick", queue.tick)
        queue.instance.dispose()
    queue = _queue(bench, "submits", limited(default=10))
    with connecting_as("submit"):
        yield from recorder.rows("submit", "submit", lambda: queue.queue(B, 10), per=10)
    queue = _queue(bench, "max_queued", limited(default={"limit": 10, "max_queued": 1000}))
    with connecting_as("submit"), ThreadPoolExecutor(16) as threads:
        yield from recorder.rows("submit with max_queued", "submit", lambda: queue.queue(B, 10), per=10)
        yield from recorder.rows(
            "16 submits at once with max_queued",
            "submit",
            lambda: list(threads.map(lambda _: queue.queue(B), range(16))),
            per=16,
        )
    queue.instance.dispose()


def limited(**limits: Any) -> dict[str, Any]:
    """The options of a coordinator with these `code_location_limits`."""
    return {"max_concurrent_runs": 20, "code_location_limits": limits}


def _queue(bench: Bench, name: str, config: Mapping[str, Any]) -> RunQueue:
    bench.server.execute(f"CREATE DATABASE connections_{name}")
    home = write_home(
        bench.folder / name, "clt", postgresql_storage(bench.server.url(f"connections_{name}")), config
    )
    queue = open_queue(home)
    assert isinstance(queue.instance.run_coordinator, CLTQueuedRunCoordinator)
    return queue


def _of_run_workers(bench: Bench, recorder: Recorder) -> Iterator[Row]:
    """Run workers as the Kubernetes launcher starts them, with an instance of their own."""
    queue = _queue(bench, "runs", limited(default=10))
    for case, job in (("a run of one step", one_step), (f"a run of {STEPS} steps at once", parallel_steps)):
        yield from recorder.rows(case, "run", lambda job=job: _execute(queue.instance, job))  # type: ignore[misc]
    queue.instance.dispose()


def _execute(instance: DagsterInstance, job: JobDefinition) -> None:
    """One run, in a process that connects as `run`."""
    found = reconstructable(job)
    run = instance.create_run_for_job(found.get_definition(), job_code_origin=found.get_python_origin())
    command = ExecuteRunArgs(found.get_python_origin(), run.run_id, instance.get_ref()).get_command_args()
    arguments = [sys.executable, "-m", *command]  # it begins with `dagster`, which need not be in the path
    subprocess.run(arguments, env={**os.environ, "PGAPPNAME": "run"}, check=True, capture_output=True)
    ended = instance.get_run_by_id(run.run_id)
    assert ended
    assert ended.status is DagsterRunStatus.SUCCESS


def _of_programs(bench: Bench, recorder: Recorder) -> Iterator[Row]:
    """Daemon, webserver, code servers and exporter, with runs and without."""
    seconds = 2 if bench.quick else 30
    bench.server.execute("CREATE DATABASE connections_system")
    config = trial_config(max_concurrent_runs=8, code_location_limits={"default": 4})
    config["storage"] = postgresql_storage(bench.server.url("connections_system"))
    system = System(bench.folder / "system", config)
    for program in system.programs:
        program.command = ["env", f"PGAPPNAME={program.name}", *program.command]
    with system, _exporter(system) as metrics:

        def wait() -> None:
            time.sleep(seconds)

        yield from recorder.rows(f"code server, {seconds} s idle", A, wait)
        yield from recorder.rows(f"daemon, {seconds} s idle", "daemon", wait)
        yield from recorder.rows(f"webserver, {seconds} s idle", "webserver", wait)
        for pages in (1, 16):
            yield from recorder.rows(
                f"webserver, {pages} page{'s' if pages > 1 else ''} for {seconds} s",
                "webserver",
                lambda pages=pages: _poll(system, pages, seconds),  # type: ignore[misc]
            )
        yield from recorder.rows(
            "metrics, a scrape", "metrics", lambda: _times(10, lambda: requests.get(metrics, timeout=60)), per=10
        )
        yield from recorder.rows("daemon, 8 runs start and end", "daemon", lambda: _flood(system, 8))


@contextmanager
def _exporter(system: System) -> Iterator[str]:
    """The metrics exporter; its address."""
    port = free_port()
    program = Process(
        "metrics",
        [str(Path(sys.executable).with_name("dagster-clt")), "metrics", "--port", str(port)],
        {**os.environ, "DAGSTER_HOME": str(system.home), "PGAPPNAME": "metrics"},
        system.home,
        system.logs / "metrics.log",
    )
    program.start()
    address = f"http://127.0.0.1:{port}/metrics"

    def answers() -> bool:
        program.ensure_running()
        with suppress(requests.ConnectionError):
            return requests.get(address, timeout=60).ok
        return False

    try:
        wait_until("the exporter answers", answers)
        yield address
    finally:
        program.stop()


def _flood(system: System, runs: int) -> None:
    with system.instance() as instance:
        run_ids = system.graphql.launch_several([launch_of(B, 1)] * runs)
        wanted = RunsFilter(run_ids=run_ids, statuses=[DagsterRunStatus.SUCCESS])
        wait_until("the runs have ended", lambda: instance.get_runs_count(wanted) == runs, seconds=300, every=1)


def _poll(system: System, pages: int, seconds: float) -> None:
    """Some open pages, each of which asks again a second after its answer."""
    end = time.monotonic() + seconds

    def page(_: int) -> None:
        while time.monotonic() < end:
            requests.post(f"{system.url}/graphql", json={"query": PAGES}, timeout=60).raise_for_status()
            time.sleep(1)

    with ThreadPoolExecutor(pages) as threads:
        list(threads.map(page, range(pages)))


def _times(count: int, action: Callable[[], object]) -> None:
    for _ in range(count):
        action()
