"""How long a command takes from its start to its answer, against a Python that imports Dagster and no more."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.instances import sqlite_storage, write_home
from benchmarks.measure import NOTHING, Bench, Goal, Row

IMPORT = "python -c 'import dagster'"
PROGRAM = str(Path(sys.executable).with_name("dagster-clt"))
COMMANDS = {
    "dagster-clt --help": ([PROGRAM, "--help"], Goal(ratio=0.3)),
    "dagster-clt probe": ([PROGRAM, "probe"], None),
    "dagster-clt status": ([PROGRAM, "status"], Goal(ratio=1.6)),
}


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

    measured = {name: timed(arguments) for name, (arguments, _) in COMMANDS.items()}
    measured[IMPORT] = timed([sys.executable, "-c", "import dagster"])
    seconds = bench.interleave("cold start", 7, measured)
    for name, (_, goal) in COMMANDS.items():
        yield Row("cold_start", name, "s", seconds[name], seconds[IMPORT], IMPORT if goal else NOTHING, goal)
