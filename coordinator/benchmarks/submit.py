"""How long a submit takes: `DagsterInstance.submit_run`, which every way of launching a run calls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.burst import ROUND_TRIP
from benchmarks.distance import further_away
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
    submitters = (1, 8)
    for name, storage in storages(bench, "submit").items():
        with three_workers(bench.folder / f"on-{name}", storage) as workers:
            yield from _compared(bench, name, workers, submitters)
            if name == "PostgreSQL":
                for worker in workers.values():
                    worker.ask("keep_connections")
                yield from _compared(bench, f"{name}, a webserver's connections", workers, submitters)
    with further_away(bench.server, ROUND_TRIP) as port:
        url = bench.server.url("submit").replace(f":{bench.server.port}/", f":{port}/")
        with three_workers(bench.folder / "away", postgresql_storage(url)) as workers:
            for worker in workers.values():
                worker.ask("keep_connections")
            what = f"PostgreSQL, a webserver's connections, {ROUND_TRIP * 1000:g} ms away"
            yield from _compared(bench, what, workers, submitters)


def _compared(bench: Bench, where: str, workers: Mapping[str, Worker], submitters: Sequence[int]) -> Iterator[Row]:
    for at_once in submitters:
        what = f"{where}, {at_once} submitter{'s' if at_once > 1 else ''}"

        def timed(worker: Worker, at_once: int = at_once) -> Callable[[], float]:
            return lambda: float(worker.ask("submit", submits=SUBMITS // at_once, submitters=at_once))

        timed_workers = {name: timed(worker) for name, worker in workers.items()}
        seconds = bench.interleave(f"submit on {what}", 9, timed_workers)
        for against, ratio in ((PLAIN, 1.10), (PUBLISHED, 1.0)):
            yield Row("submit", what, "s", seconds[OURS], seconds[against], against, Goal(ratio=ratio))
