"""The first ticks after the switch from Dagster's own coordinator, whose queued runs carry no tag."""

import time
from collections.abc import Iterator

import sqlalchemy as db
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus
from tests.run_queue import RunQueue

from benchmarks.copies import connection, copy_runs
from benchmarks.filled_queue import LIMIT, FilledQueue, create_database, names_of
from benchmarks.measure import NOTHING, Bench, Row

QUEUED = 50_000
CODE_LOCATIONS = 10
LONGEST = 3600
"""Seconds of ticks after which waiting for the tags is given up."""


def run(bench: Bench) -> Iterator[Row]:
    """Ours alone, each round with a queue of its own; ticks follow at once, and no run ends meanwhile."""
    queued = 5_000 if bench.quick else min(QUEUED, bench.at_most)
    what = f"{queued:,} queued without tag, {CODE_LOCATIONS} code locations"
    started: list[float] = []
    until_tagged: list[float] = []

    def first_tick() -> float:
        queue = _fill(bench, queued)
        bench.show(f"{what}: first tick", 0, 1)
        begin = time.perf_counter()
        runs = queue.tick_ids()
        first = all_ticks = time.perf_counter() - begin
        while untagged := _untagged(queue):
            bench.show(f"{what}: tagging", queued - untagged, queued)
            assert all_ticks < LONGEST, f"{untagged} runs have no tag after {all_ticks:.0f} s"
            begin = time.perf_counter()
            queue.tick_ids()
            all_ticks += time.perf_counter() - begin
        started.append(float(len(runs)))
        until_tagged.append(all_ticks)
        queue.instance.dispose()
        return first

    seconds = [first_tick() for _ in range(bench.rounds(3))]
    yield Row("first_tick", f"{what}, first tick", "s", seconds, [], NOTHING)
    yield Row("first_tick", f"{what}, started by the first tick", "runs", started, [], NOTHING)
    yield Row("first_tick", f"{what}, ticks until all are tagged", "s", until_tagged, [], NOTHING)


def _fill(bench: Bench, queued: int) -> RunQueue:
    names = names_of(CODE_LOCATIONS)
    database = create_database(bench, f"{queued:,} runs without tag")
    filled = FilledQueue(bench.server.url(database), names, max_concurrent_runs=LIMIT * CODE_LOCATIONS)
    queue = filled.open(bench, "clt", filled.config())
    originals = [queue.put(name, DagsterRunStatus.QUEUED)[0] for name in names]
    copy_runs(queue.instance, originals, queued - len(originals))
    bench.server.execute("VACUUM ANALYZE", database)
    return queue


def _untagged(queue: RunQueue) -> int:
    """How many queued runs carry no tag."""
    with connection(queue.instance) as opened:
        found = opened.execute(
            db.text(
                "SELECT count(*) FROM runs WHERE status = 'QUEUED' AND NOT EXISTS"
                " (SELECT 1 FROM run_tags WHERE run_tags.run_id = runs.run_id AND key = :key)"
            ),
            {"key": CLT_TAG_KEY},
        )
        return int(found.scalar_one())
