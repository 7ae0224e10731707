"""How long a command takes from its start to its answer.

Against a Python that imports Dagster and no more, and against one that opens the instance and counts its runs.
The storages with SQLAlchemy and Alembic take about as long again to import, and no command on an instance can do
without.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.instances import sqlite_storage, write_home
from benchmarks.measure import Bench, Goal, Row

IMPORT = "import dagster"
OPEN = "open the instance, count its runs"
SCRIPTS = {
    IMPORT: "import dagster",
    OPEN: "from dagster import DagsterInstance\nwith DagsterInstance.get() as instance: instance.get_runs_count()",
}
PROGRAM = str(Path(sys.executable).with_name("dagster-clt"))
COMMANDS = {"dagster-clt --help": ["--help"], "dagster-clt probe": ["probe"], "dagster-clt status": ["status"]}
GOALS = {("dagster-clt --help", IMPORT): Goal(ratio=0.3), ("dagster-clt status", OPEN): Goal(ratio=1.2)}


def run(bench: Bench) -> Iterator[Row]:
    """Each command on an empty instance on SQLite."""
    home = write_home(bench.folder / "home", "clt", sqlite_storage(bench.folder / "sqlite"))
    environment = {**os.environ, "DAGSTER_HOME": str(home)}

    def timed(arguments: list[str]) -> Callable[[], float]:
        def measure() -> float:
            begin = time.perf_counter()
            subprocess.run(arguments, env=environment, check=True, capture_output=True)
            return time.perf_counter() - begin

        return measure

    measured = {name: timed([PROGRAM, *arguments]) for name, arguments in COMMANDS.items()}
    measured |= {name: timed([sys.executable, "-c", script]) for name, script in SCRIPTS.items()}
    seconds = bench.interleave("cold start", 7, measured)
    for name in COMMANDS:
        for other in SCRIPTS:
            goal = GOALS.get((name, other))
            yield Row("cold_start", name, "s", seconds[name], seconds[other], other, goal)
