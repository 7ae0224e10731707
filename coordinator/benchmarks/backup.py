"""How long a dump and a restore of a database take: `python -m benchmarks.backup --runs 100000`."""

import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from tests.postgresql import running_postgresql
from tests.run_queue import postgresql_run_queue

from benchmarks.copies import add_finished_runs
from benchmarks.filled_queue import names_of


def main() -> None:
    """Fill a database, dump it and restore it into an empty one."""
    parser = ArgumentParser(prog="python -m benchmarks.backup", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="finished runs in the database, without events")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder, running_postgresql() as server:
        file = Path(folder) / "dagster.dump"
        for database in ("filled", "empty"):
            server.execute(f"CREATE DATABASE {database}")
            with postgresql_run_queue(server.url(database), {}, {}) as queue:
                if database == "filled":
                    add_finished_runs(queue, names_of(5), runs, lambda _made, _of: None)
        dumped = _seconds(lambda: server.dump(server.url("filled"), file))
        restored = _seconds(lambda: server.restore(file, server.url("empty")))
        size, dump = server.size("filled") / 1e6, file.stat().st_size / 1e6
        print(f"{runs:,} runs: database {size:.0f} MB, dump {dump:.1f} MB")
        print(f"pg_dump {dumped:.1f} s, pg_restore {restored:.1f} s")


def _seconds(act: Callable[[], None]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
