"""How many SQL statements a submit takes."""

from collections.abc import Iterator

from benchmarks.measure import OURS, PLAIN, PUBLISHED, Bench, Goal, Row
from benchmarks.submit import storages
from benchmarks.workers import three_workers


def run(bench: Bench) -> Iterator[Row]:
    """On each storage, counted once: they are the same each time."""
    for storage_name, storage in storages(bench, "statements").items():
        with three_workers(bench.folder / f"on-{storage_name}", storage) as workers:
            counted = {name: [float(worker.ask("statements"))] for name, worker in workers.items()}
        for against, goal in ((PLAIN, Goal(more=3)), (PUBLISHED, None)):
            yield Row("statements", storage_name, "statements", counted[OURS], counted[against], against, goal)
