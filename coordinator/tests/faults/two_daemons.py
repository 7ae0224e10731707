"""Two daemons started by mistake: what limits do then, ours and Dagster's own: `make two-daemons`."""

import random
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

from harness.concurrency import peak, peak_by_code_location
from harness.event_log import run_histories, runs_in_progress
from harness.system import with_dagsters_own_coordinator
from rich.console import Console
from rich.table import Table
from tests.faults.scene import LIMITS, MAX_CONCURRENT_RUNS, Scene, instance_config, opened_scene
from tests.postgresql import PostgreSQL, running_postgresql

Change: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
OWN_LIMITS = [{"key": "dagster/code_location", "value": name, "limit": limit} for name, limit in LIMITS.items()]
"""Equal limits for Dagster's own coordinator."""
COORDINATORS: dict[str, Change] = {
    "CLTQueuedRunCoordinator": lambda config: config,
    "QueuedRunCoordinator": lambda config: with_dagsters_own_coordinator(config, OWN_LIMITS),
}


def flood_two_daemons(scene: Scene, runs: int) -> list[str]:
    """Start a second daemon, flood both, and say what was seen: the cells of one row of the table."""
    second = scene.system.process(
        "second-daemon", "dagster._daemon", "run", "--workspace", str(scene.system.workspace)
    )
    second.start()
    try:
        scene.begin(clients=4, runs=runs)
        scene.drain(1800)
    finally:
        second.stop()
    with scene.system.instance() as instance:
        found = run_histories(instance, scene.flood.acknowledged)
        times = runs_in_progress(instance, [run.run_id for run in found])
    most = peak_by_code_location(times)
    return [
        str(len(found)),
        *(f"{most[name]} of {limit}" for name, limit in LIMITS.items()),
        f"{peak(times)} of {MAX_CONCURRENT_RUNS}",
        str(sum(run.worker_starts > 1 for run in found)),
        str(sum(run.dequeues > 1 for run in found)),
        str(sum(run.status != "SUCCESS" for run in found)),
    ]


def main() -> int:
    """Run it; returns the exit code."""
    parser = ArgumentParser(prog="python -m tests.faults.two_daemons", description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="runs of each of 4 clients (default: %(default)s)")
    options = parser.parse_args()
    console = Console(width=180)
    table = Table(
        "coordinator", "threads", "runs", *(f"most at once of {name}" for name in LIMITS), "most in all",
        "begun by two workers", "dequeued twice", "not succeeded",
    )  # fmt: skip
    with running_postgresql() as postgresql:
        for number, (threads, name) in enumerate(product((True, False), COORDINATORS)):
            console.log(f"{name}, dequeue_use_threads: {str(threads).lower()}")
            cells = _one_row(postgresql, f"two_daemons_{number}", COORDINATORS[name], threads, options.runs)
            table.add_row(name, str(threads).lower(), *cells)
    console.print(table)
    return 0


def _one_row(postgresql: PostgreSQL, database: str, change: Change, threads: bool, runs: int) -> list[str]:
    postgresql.execute(f"CREATE DATABASE {database}")
    url = postgresql.url(database)
    with tempfile.TemporaryDirectory(prefix="dagster-two-daemons-") as folder:
        seed = random.SystemRandom().randrange(10**6)
        config = change(instance_config(url))
        config["run_coordinator"]["config"]["dequeue_use_threads"] = threads
        with opened_scene(Path(folder) / "home", postgresql, url, seed, config) as scene:
            return flood_two_daemons(scene, runs)


if __name__ == "__main__":
    sys.exit(main())
