"""What one deployment costs, as CPU time and memory of each of its programs: `make bench-sizing`.

CPU time hardly depends on what else the machine does, so it can be added up for a deployment that is planned.
The daemon, the webserver, a code server and PostgreSQL are real. Only where whole runs are measured are runs
started: a run's own process is no part of the deployment, and on Kubernetes it has a pod of its own.
"""

import logging
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION
from clt_queued_run_coordinator.store import live
from harness.launches import A, launch_of
from harness.system import CODE_LOCATIONS, System, trial_config
from harness.waiting import count_ended, wait_until
from rich.console import Console
from rich.table import Table
from tests.postgresql import PostgreSQL, running_postgresql
from tests.run_queue import RunQueue

from benchmarks.copies import add_finished_runs
from benchmarks.filled_queue import names_of, put_in_turns
from benchmarks.instances import postgresql_storage
from benchmarks.usage import Usage, used

LAUNCHES = 200
PAGES = 30
RUNS = 10
FINISHED = 100_000
CODE_LOCATIONS_IDLE = (2, 20, 100)
QUEUED = (1_000, 10_000, 50_000)
QUEUED_OF = 20
"""How many code locations the queued runs are of."""
RUNS_PAGE = """
query ($filter: RunsFilter) {
  pipelineRunsOrError(filter: $filter, limit: 26) {
    ... on Runs {
      results {
        id status mode jobName startTime endTime updateTime
        tags { key value }
        repositoryOrigin { repositoryName repositoryLocationName }
      }
    }
    ... on Error { message }
  }
}
"""
"""What the page with the runs asks for, every 15 seconds while somebody looks at it."""


class Deployment:
    """A system on PostgreSQL. Its launcher starts nothing, and one code server serves all of its code locations.

    Args:
        server: The PostgreSQL.
        folder: An empty folder.
        database: A database that exists.
        code_locations: The names of the code locations.
    """

    def __init__(self, server: PostgreSQL, folder: Path, database: str, code_locations: list[str]) -> None:
        config = trial_config(max_concurrent_runs=1_000_000, code_location_limits={"default": 1_000_000})
        config |= {
            "storage": postgresql_storage(server.url(database)),
            "run_launcher": {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"},
            "run_monitoring": {"enabled": False},
        }
        self.server = server
        self.system = System(folder, config, code_locations={A: CODE_LOCATIONS[A]})
        self.system.ports |= dict.fromkeys(code_locations, self.system.ports[A])
        self.system.write_workspace([A, *code_locations])

    def measure(self, act: Callable[[], object]) -> dict[str, Usage]:
        """What acting costs each program."""
        programs = {
            "daemon": self.system.daemon.pid,
            "webserver": self.system.webserver.pid,
            "code server": self.system.code_servers[A].pid,
            "PostgreSQL": self.server.pid,
        }
        return used(programs, act)

    def wait_until_idle(self) -> None:
        """Wait until every code location is loaded and the daemon has begun its ticks."""
        graphql, names = self.system.graphql, self.system.ports
        wait_until("every code location is loaded", lambda: graphql.has_loaded(names), seconds=300)


@contextmanager
def deployed(
    server: PostgreSQL, folder: Path, name: str, code_locations: int, queued: int = 0
) -> Iterator[Deployment]:
    """A running deployment, with `FINISHED` runs that have ended before.

    Args:
        server: The PostgreSQL.
        folder: A folder for all deployments.
        name: Of this one, and of its database.
        code_locations: How many.
        queued: How many runs wait in its queue, in turns of the code locations, all of them paused.
    """
    server.execute(f"CREATE DATABASE {name}")
    names = names_of(code_locations)[1:]
    deployment = Deployment(server, folder / name, name, names)
    with deployment.system.instance() as instance:
        queue = RunQueue(instance)
        add_finished_runs(queue, names, FINISHED, lambda _made, _of: None)
        if queued:
            live.pause(instance, EVERY_CODE_LOCATION)
            put_in_turns(queue, names, queued)
    server.execute("VACUUM ANALYZE", name)
    with deployment.system:
        deployment.wait_until_idle()
        yield deployment


def idle_rows(server: PostgreSQL, folder: Path, seconds: float, console: Console) -> Iterator[list[str]]:
    """What a deployment costs with which nobody does anything: per code locations, then per queued runs."""
    cases = [(count, 0) for count in CODE_LOCATIONS_IDLE] + [(QUEUED_OF, queued) for queued in QUEUED]
    for code_locations, queued in cases:
        console.log(f"idle: {code_locations} code locations, {queued:,} queued")
        name = f"idle_{code_locations}_{queued}"
        with deployed(server, folder, name, code_locations, queued) as deployment:
            time.sleep(10)  # what is done once at the start is no part of it
            usage = deployment.measure(partial(time.sleep, seconds))
        yield [
            str(code_locations),
            f"{queued:,}",
            *(
                text
                for each in ("daemon", "webserver")
                for text in (f"{usage[each].cpu_seconds / seconds * 100:.1f} %", f"{usage[each].megabytes:.0f} MB")
            ),
            f"{usage['PostgreSQL'].cpu_seconds / seconds * 100:.1f} %",
        ]


def per_event_rows(server: PostgreSQL, folder: Path, console: Console) -> Iterator[list[str]]:
    """What one launch, one start and one page of the UI cost."""
    with deployed(server, folder, "events", QUEUED_OF) as deployment:
        system = deployment.system
        with system.instance() as instance:
            live.pause(instance, EVERY_CODE_LOCATION)
            for clients in (1, 8):
                console.log(f"{LAUNCHES} launches, {clients} at once")
                yield _row(f"launch, {clients} at once", LAUNCHES, deployment, partial(_launch, system, clients))
            console.log("starts")
            live.resume(instance, EVERY_CODE_LOCATION)
            yield _row("start", 2 * LAUNCHES, deployment, partial(_wait_for_an_empty_queue, instance))
    with deployed(server, folder, "pages", QUEUED_OF, max(QUEUED)) as deployment:
        for page, run_filter in {"page of runs": {}, "page of queued runs": {"statuses": ["QUEUED"]}}.items():
            console.log(page)
            ask = partial(deployment.system.graphql.ask, RUNS_PAGE, filter=run_filter)
            yield _row(f"{page}, {max(QUEUED):,} queued", PAGES, deployment, lambda: [ask() for _ in range(PAGES)])  # noqa: B023


def _launch(system: System, clients: int) -> None:
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda _: system.graphql.launch(launch_of(A, 1)), range(LAUNCHES)))


def _wait_for_an_empty_queue(instance: dg.DagsterInstance) -> None:
    queued = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])
    wait_until("every run has left the queue", lambda: not instance.get_runs_count(queued), seconds=600, every=0.5)


def _row(what: str, count: int, deployment: Deployment, act: Callable[[], Any]) -> list[str]:
    begin = time.monotonic()
    usage = deployment.measure(act)
    seconds = time.monotonic() - begin
    costs = (f"{usage[name].cpu_seconds / count * 1000:.0f} ms" for name in usage)
    return [what, f"{count / seconds:.1f}", *costs]


def run_rows(server: PostgreSQL, folder: Path, console: Console) -> Iterator[list[str]]:
    """What a whole run of a sample code location costs: one op that works for a second, some twenty events."""
    console.log(f"{RUNS} whole runs")
    server.execute("CREATE DATABASE runs")
    config = trial_config() | {"storage": postgresql_storage(server.url("runs"))}
    with (
        System(folder / "runs", config, code_locations={A: CODE_LOCATIONS[A]}) as system,
        system.instance() as instance,
    ):
        launches = [launch_of(A, 1)] * RUNS
        run_ids = system.graphql.launch_several(launches[:1])
        _wait_for_ends(instance, run_ids)  # the first stores what all of them share
        size = server.size("runs")

        def launch_and_wait() -> None:
            _wait_for_ends(instance, system.graphql.launch_several(launches))

        usage = used({"run": system.code_servers[A].pid, "PostgreSQL": server.pid}, launch_and_wait)
        kilobytes = (server.size("runs") - size) / RUNS / 1e3
    yield [
        *(f"{usage[name].cpu_seconds / RUNS * 1000:.0f} ms" for name in ("run", "PostgreSQL")),
        f"{kilobytes:.0f} kB",
    ]


def _wait_for_ends(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    wait_until("every run has ended", lambda: count_ended(instance, run_ids) == len(run_ids), seconds=900, every=1)


def _table(title: str, columns: Sequence[str], rows: Iterator[list[str]]) -> Table:
    table = Table(title=title)
    for name in columns:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def main() -> None:
    """Measure everything and print the tables."""
    parser = ArgumentParser(prog="python -m benchmarks.sizing", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=60, help="how long an idle deployment is watched (default: %(default)s)"
    )
    options = parser.parse_args()
    logging.disable(logging.INFO)
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="sizing-", ignore_cleanup_errors=True) as name,
        running_postgresql() as server,
    ):
        folder = Path(name)
        tables = [
            _table(
                "One whole run",
                ("the run", "PostgreSQL", "growth of the database"),
                run_rows(server, folder, console),
            ),
            _table(
                "CPU time of one",
                ("of", "a second", "daemon", "webserver", "code server", "PostgreSQL"),
                per_event_rows(server, folder, console),
            ),
            _table(
                "Nobody does anything: CPU in percent of a core, and memory",
                ("code locations", "queued", "daemon", "", "webserver", "", "PostgreSQL"),
                idle_rows(server, folder, options.seconds, console),
            ),
        ]
    for table in tables:
        console.print(table)


if __name__ == "__main__":
    main()
