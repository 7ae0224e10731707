"""A long queue, made fast: copies of real runs, written by a few statements."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as db
from clt_queued_run_coordinator._dagster import run_database
from clt_queued_run_coordinator.limits import live
from clt_queued_run_coordinator.tagging.code_location_tag import CLT_TAG_KEY
from dagster import DagsterInstance, DagsterRunStatus

from benchmarks.instances import open_queue, postgresql_storage, write_home
from benchmarks.measure import Bench
from tests.run_queue import RunQueue

LIMIT = 2
"""The limit of each code location, reached by all that have runs queued but the one with the held run."""
HELD = {"key": "held", "limit": 0}
"""The tag limit that no run with this tag can pass."""


@dataclass(frozen=True)
class FilledQueue:
    """A database with runs queued.

    Attributes:
        url: The database.
        code_locations: The names of its code locations.
    """

    url: str
    code_locations: list[str]

    @property
    def max_concurrent_runs(self) -> int:
        """More than can ever be in progress: some slot is always free, so that the daemon must look."""
        return (LIMIT + 1) * len(self.code_locations)

    def plain_config(self) -> dict[str, Any]:
        """Dagster's own coordinator with a static list of tag limits."""
        limits = [{"key": CLT_TAG_KEY, "value": name, "limit": LIMIT} for name in self.code_locations]
        return {"max_concurrent_runs": self.max_concurrent_runs, "tag_concurrency_limits": [HELD, *limits]}

    def config(self, sharing: str = "fifo", limit: int = LIMIT) -> dict[str, Any]:
        """Ours with the same limits."""
        return {
            "max_concurrent_runs": self.max_concurrent_runs,
            "tag_concurrency_limits": [HELD],
            "code_location_limits": {"locations": dict.fromkeys(self.code_locations, limit), "sharing": sharing},
        }

    def open(self, bench: Bench, coordinator: str, config: dict[str, Any]) -> RunQueue:
        """A further opening of the same database."""
        number = len(list(bench.folder.iterdir()))
        home = bench.folder / f"home-{number}"
        return open_queue(write_home(home, coordinator, postgresql_storage(self.url), config))

    def set_live_limits(self, instance: DagsterInstance) -> None:
        """Change the limit of each code location live, to what it is configured with elsewhere."""
        for name in self.code_locations:
            live.set_limit(instance, name, LIMIT)


def fill(bench: Bench, queued: int, code_locations: int, *, held: bool) -> FilledQueue:
    """Make a database in which every code location with runs queued is at its limit.

    Args:
        bench: Where to.
        queued: How many runs, taken in turns from the code locations.
        code_locations: How many.
        held: The last code location has nothing in progress and one run queued, held by `HELD`: the counts
            can't prove that nothing can start, so that the queue is read, and yet nothing starts.
    """
    names = [f"code-location-{number:03}" for number in range(code_locations)]
    database = f"{bench.folder.name}_{len(list(bench.folder.iterdir()))}"
    bench.show(f"filling {database} with {queued} runs of {code_locations} code locations", 0, 1)
    bench.server.execute(f"CREATE DATABASE {database}")
    filled = FilledQueue(bench.server.url(database), names)
    queue = filled.open(bench, "plain", {})
    at_limit = names[:-1] if held else names
    for name in at_limit:
        queue.put(name, DagsterRunStatus.STARTED, LIMIT, tag=name)
    if queued and held:
        queue.create(names[-1], status=DagsterRunStatus.QUEUED, tags={CLT_TAG_KEY: names[-1], HELD["key"]: "yes"})
    rest = queued - held
    if rest > 0:
        originals = [queue.put(name, DagsterRunStatus.QUEUED, tag=name)[0] for name in at_limit[:rest]]
        copy_runs(queue.instance, originals, rest - len(originals))
    queue.instance.dispose()
    bench.server.execute("VACUUM ANALYZE", database)  # as PostgreSQL does by itself a minute later
    return filled


def copy_runs(instance: DagsterInstance, run_ids: list[str], copies: int) -> None:
    """Add copies of runs with ids and rows of their own, taken from the runs in turns.

    Args:
        instance: On PostgreSQL.
        run_ids: The runs to copy.
        copies: How many in all.
    """
    parameters = {"run_ids": run_ids, "copies": copies, "originals": len(run_ids)}
    with run_database(instance).connect() as connection:
        connection.execute(
            db.text(
                "CREATE TEMPORARY TABLE copy AS"
                " SELECT turn, runs.run_id AS original, gen_random_uuid()::text AS run_id"
                " FROM generate_series(0, :copies - 1) AS turn"
                " JOIN unnest(CAST(:run_ids AS text[])) WITH ORDINALITY AS given (run_id, place)"
                " ON turn % :originals = given.place - 1"
                " JOIN runs ON runs.run_id = given.run_id"
            ),
            parameters,
        )
        connection.execute(
            db.text(
                "INSERT INTO runs (run_id, snapshot_id, pipeline_name, mode, status, run_body)"
                " SELECT copy.run_id, snapshot_id, pipeline_name, mode, status,"
                " replace(run_body, copy.original, copy.run_id)"
                " FROM copy JOIN runs ON runs.run_id = copy.original ORDER BY turn"
            )
        )
        connection.execute(
            db.text(
                "INSERT INTO run_tags (run_id, key, value) SELECT copy.run_id, key, value"
                " FROM copy JOIN run_tags ON run_tags.run_id = copy.original"
            )
        )
        connection.execute(db.text("DROP TABLE copy"))
