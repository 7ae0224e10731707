"""Measure the coordinator beside Dagster's own and the published one: `make bench`."""

import json
import logging
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from tests.postgresql import PostgreSQL, running_postgresql

from benchmarks import (
    burst,
    cold_start,
    connections,
    estimate,
    explain,
    first_tick,
    history,
    idle_slot,
    long_queue,
    max_queued,
    memory,
    page,
    page_size,
    pools,
    saturated_tick,
    slots,
    sqlite_counts,
    statements,
    status,
    submit,
    tick,
)
from benchmarks.measure import Bench, Row
from benchmarks.report import as_data, table

BENCHMARKS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "submit": submit.run,
    "max_queued": max_queued.run,
    "statements": statements.run,
    "tick": tick.run,
    "saturated_tick": saturated_tick.run,
    "slots": slots.run,
    "long_queue": long_queue.run,
    "pools": pools.run,
    "burst": burst.run,
    "first_tick": first_tick.run,
    "history": history.run,
    "sqlite_counts": sqlite_counts.run,
    "memory": memory.run,
    "idle_slot": idle_slot.run,
    "status": status.run,
    "explain": explain.run,
    "page": page.run,
    "estimate": estimate.run,
    "cold_start": cold_start.run,
    "page_size": page_size.run,
    "connections": connections.run,
}


def main() -> None:
    """Run the benchmarks that the command line names."""
    parser = ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement; default: each one's own number")
    parser.add_argument(
        "--quick", action="store_true", help="small numbers: does it work? The figures mean nothing"
    )
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write the results there as well")
    parser.add_argument(
        "--at-most", type=int, default=50_000, metavar="QUEUED", help="leave out queues with more runs"
    )
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; choose from {', '.join(BENCHMARKS)}")
    if options.quick:
        options.at_most = min(500, options.at_most)
    logging.disable(logging.INFO)
    console = Console()
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="benchmarks-", ignore_cleanup_errors=True) as folder,
        running_postgresql() as server,
        _progress(console) as progress,
    ):
        postgresql = _version(server)
        task = progress.add_task("")

        def show(what: str, done: int, steps: int) -> None:
            progress.update(task, description=what, completed=done, total=steps)

        for name in options.names or BENCHMARKS:
            own = Path(folder) / name
            own.mkdir()
            for row in BENCHMARKS[name](Bench(server, own, options.rounds, options.at_most, options.quick, show)):
                rows.append(row)
                if options.output:  # at once, so that what was measured is kept if a later one fails
                    options.output.parent.mkdir(parents=True, exist_ok=True)
                    options.output.write_text(json.dumps(as_data(rows, postgresql), indent=2) + "\n")
    console.print(table(rows))


def _progress(console: Console) -> Progress:
    return Progress(
        TimeElapsedColumn(), BarColumn(), TextColumn("{task.description}"), console=console, transient=True
    )


def _version(server: PostgreSQL) -> str:
    with closing(psycopg2.connect(server.url("postgres"))) as connection:
        number: int = connection.server_version
    return f"{number // 10_000}.{number % 10_000}"


if __name__ == "__main__":
    main()
