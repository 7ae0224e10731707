"""Two daemons started by mistake: what limits do then, ours and Dagster's own: `make two-daemons`."""

import random
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from demo.event_log import histories, runs_in_progress
from demo.judge import most_at_once, most_at_once_by_code_location
from tests.faults.scene import LIMITS, MAX_CONCURRENT_RUNS, Scene, opened_scene
from tests.postgresql import PostgreSQL, running_postgresql

STOCK = {
    "module": "dagster",
    "class": "QueuedRunCoordinator",
    "config": {
        "max_concurrent_runs": MAX_CONCURRENT_RUNS,
        "dequeue_interval_seconds": 1,
        "dequeue_use_threads": True,
        "dequeue_num_workers": MAX_CONCURRENT_RUNS,
        "max_user_code_failure_retries": 10,
        "tag_concurrency_limits": [
            {"key": "dagster/code_location", "value": name, "limit": limit} for name, limit in LIMITS.items()
        ],
    },
}
"""Dagster's own coordinator with equal limits."""


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
        found = histories(instance, scene.flood.acknowledged)
        times = runs_in_progress(instance, [run.run_id for run in found])
    most = most_at_once_by_code_location(times)
    return [
        str(len(found)),
        *(f"{most[name]} of {limit}" for name, limit in LIMITS.items()),
        f"{most_at_once(times)} of {MAX_CONCURRENT_RUNS}",
        str(sum(run.worker_starts > 1 for run in found)),
        str(sum(run.dequeues > 1 for run in found)),
        str(sum(run.status != "SUCCESS" for run in found)),
    ]


def main() -> int:
    """Run it; returns the exit code."""
    parser = ArgumentParser(prog="python -m tests.faults.two_daemons", description=__doc__)
    parser.add_argument("--runs", type=int, default=6, help="runs of each of 4 clients (default: %(default)s)")
    options = parser.parse_args()
    table = Table(
        "coordinator", "runs", *(f"most at once of {name}" for name in LIMITS), "most in all",
        "begun by two workers", "dequeued twice", "not succeeded",
    )  # fmt: skip
    with running_postgresql() as postgresql:
        for name, coordinator in (("CLTQueuedRunCoordinator", None), ("QueuedRunCoordinator", STOCK)):
            table.add_row(name, *_one_row(postgresql, name.lower(), coordinator, options.runs))
    Console(width=160).print(table)
    return 0


def _one_row(postgresql: PostgreSQL, database: str, coordinator: dict[str, Any] | None, runs: int) -> list[str]:
    postgresql.execute(f"CREATE DATABASE {database}")
    with tempfile.TemporaryDirectory(prefix="dagster-two-daemons-") as folder:
        seed = random.SystemRandom().randrange(10**6)
        with opened_scene(Path(folder) / "home", postgresql, postgresql.url(database), seed, coordinator) as scene:
            return flood_two_daemons(scene, runs)


if __name__ == "__main__":
    sys.exit(main())
