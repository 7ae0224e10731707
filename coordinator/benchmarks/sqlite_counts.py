"""What `dagster-clt status` reads from SQLite files, as after some weeks of a local trial."""

from collections.abc import Iterator

from dagster import DagsterRunStatus

from benchmarks.copies import add_finished_runs
from benchmarks.filled_queue import LIMIT, names_of
from benchmarks.instances import open_queue, sqlite_storage, write_home
from benchmarks.measure import NOTHING, Bench, Goal, Row
from benchmarks.status import timed_reading

QUEUED = 500
FINISHED = 50_000


def run(bench: Bench) -> Iterator[Row]:
    """Ours alone. The files have no statistics for SQLite's planner: neither Dagster nor we make any."""
    finished, queued = 2_000 if bench.quick else FINISHED, min(50 if bench.quick else QUEUED, bench.at_most)
    names = names_of(2)
    config = {"max_concurrent_runs": LIMIT * len(names), "code_location_limits": {"default": LIMIT}}
    queue = open_queue(write_home(bench.folder / "home", "clt", sqlite_storage(bench.folder / "sqlite"), config))
    what = f"{finished:,} finished, {queued} queued, {len(names)} code locations"
    add_finished_runs(queue, names, finished, lambda made, of: bench.show(f"filling SQLite: {what}", made, of))
    for name in names:
        queue.put(name, DagsterRunStatus.STARTED, LIMIT, tag=name)
    for number in range(queued):
        bench.show(f"filling SQLite: {what}", number, queued)
        queue.put(names[number % len(names)], DagsterRunStatus.QUEUED, tag=names[number % len(names)])
    seconds = bench.interleave(what, 5, {"ours": timed_reading(queue)})
    yield Row("sqlite_counts", what, "s", seconds["ours"], [], NOTHING, Goal(most=0.05))
    queue.instance.dispose()
