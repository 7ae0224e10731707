"""How long a submit takes: `DagsterInstance.submit_run`, which every way of launching a run calls."""

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.instances import postgresql_storage, sqlite_storage
from benchmarks.measure import OURS, PLAIN, PUBLISHED, Bench, Goal, Row
from benchmarks.workers import Worker, three_workers

SUBMITS = 16
"""Submits of each round, of all submitters together."""


def storages(bench: Bench, name: str) -> dict[str, dict[str, Any]]:
    """A fresh database of each kind.

    Args:
        bench: Where to.
        name: For the database.
    """
    bench.server.execute(f"CREATE DATABASE {name}")
    return {
        "PostgreSQL": postgresql_storage(bench.server.url(name)),
        "SQLite": sqlite_storage(bench.folder / "sqlite"),
    }


def run(bench: Bench) -> Iterator[Row]:
    """Each storage with one and with several submitters; these are threads, as in the webserver."""
    for storage_name, storage in storages(bench, "submit").items():
        with three_workers(bench.folder / f"on-{storage_name}", storage) as workers:
            for submitters in (1, 8):
                what = f"{storage_name}, {submitters} submitter{'s' if submitters > 1 else ''}"

                def timed(worker: Worker, submitters: int = submitters) -> Callable[[], float]:
                    return lambda: float(
                        worker.ask("submit", submits=SUBMITS // submitters, submitters=submitters)
                    )

                seconds = bench.interleave(
                    f"submit on {what}", 9, {name: timed(worker) for name, worker in workers.items()}
                )
                for against, ratio in ((PLAIN, 1.10), (PUBLISHED, 1.0)):
                    yield Row("submit", what, "s", seconds[OURS], seconds[against], against, Goal(ratio=ratio))
