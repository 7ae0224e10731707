"""A database with a long queue, for coordinators to be compared on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.store import live
from dagster import DagsterInstance, DagsterRunStatus
from tests.run_queue import RunQueue

from benchmarks.copies import add_finished_runs, copy_runs
from benchmarks.instances import open_queue, postgresql_storage, write_home
from benchmarks.measure import Bench

LIMIT = 2
"""The limit of each code location."""
HELD: dict[str, Any] = {"key": "held", "limit": 0}
"""The tag limit that no run with this tag can pass."""
EVERYTHING = "everything"
GROUPS = 10
_EVERYTHING: dict[str, Any] = {
    "max_per_job": 1_000,
    "max_per_backfill": 1_000,
    "backfill_share": 0.25,
    "max_queued": 1_000_000,
    "breaker": {"failures": 1_000, "within": "10m", "pause_for": "1h"},
    "windows": [{"cron": "0 8 * * 1-5", "for": "10h", "limit": LIMIT}],
}


class Slots(Enum):
    """What is in progress beside the queue; each code location is at its limit but where it is said."""

    FULL = "nothing can start, and the counts show it; slots of the total are free"
    HELD = (
        "the last code location has nothing in progress and one run queued, which `HELD` holds: the counts can't"
    )
    ONE_FREE = "the last code location has one run less in progress: one slot is free, of the total as well"


@dataclass(frozen=True)
class FilledQueue:
    """A database with runs queued.

    Attributes:
        url: The database.
        code_locations: The names of its code locations.
        max_concurrent_runs: The total.
        concurrency: The setting of that name of every instance on it.
    """

    url: str
    code_locations: list[str]
    max_concurrent_runs: int
    concurrency: Mapping[str, Any] | None = None

    def plain_config(self) -> dict[str, Any]:
        """Dagster's own coordinator with a static list of tag limits."""
        limits = [{"key": CLT_TAG_KEY, "value": name, "limit": LIMIT} for name in self.code_locations]
        return {"max_concurrent_runs": self.max_concurrent_runs, "tag_concurrency_limits": [HELD, *limits]}

    def config(self, sharing: str = "fifo", limit: int = LIMIT) -> dict[str, Any]:
        """Ours with the same limits.

        Args:
            sharing: `fifo`, `fair`, or `EVERYTHING` for fair with every other option set, to what holds nothing.
            limit: Of each code location.
        """
        limits: dict[str, Any] = {"locations": dict.fromkeys(self.code_locations, limit), "sharing": sharing}
        if sharing == EVERYTHING:
            limits = {
                "default": _EVERYTHING,
                "locations": {name: {"limit": limit, "min": 1} for name in self.code_locations},
                "groups": {
                    f"group-{number}": {"locations": names, "limit": self.max_concurrent_runs, "min": 1}
                    for number in range(GROUPS)
                    if (names := self.code_locations[number::GROUPS])
                },
                "sharing": "fair",
            }
        return {
            "max_concurrent_runs": self.max_concurrent_runs,
            "tag_concurrency_limits": [HELD],
            "code_location_limits": limits,
        }

    def open(self, bench: Bench, coordinator: str, config: dict[str, Any]) -> RunQueue:
        """A further opening of the same database."""
        concurrency = self.concurrency
        if concurrency and coordinator == "plain":  # Dagster refuses limits of its own coordinator beside pools
            config, concurrency = {}, {**concurrency, "runs": config}
        home = bench.folder / f"home-{_number(bench)}"
        return open_queue(write_home(home, coordinator, postgresql_storage(self.url), config, concurrency))

    def copied(self, bench: Bench, suffix: str) -> "FilledQueue":
        """The same queue in a database of its own, so that what one coordinator starts is no news to another.

        Args:
            bench: Whose.
            suffix: Of the database's name.
        """
        original = self.url.rpartition("/")[2]
        database = f"{original}_{suffix}"
        bench.server.execute(f"CREATE DATABASE {database} TEMPLATE {original}")
        return replace(self, url=bench.server.url(database))

    def set_live_limits(self, instance: DagsterInstance) -> None:
        """Change the limit of each code location live, to what it is configured with elsewhere."""
        for name in self.code_locations:
            live.set_limit(instance, name, LIMIT)


def names_of(code_locations: int) -> list[str]:
    """So many names of code locations."""
    return [f"code-location-{number:03}" for number in range(code_locations)]


def create_database(bench: Bench, what: str) -> str:
    """A new database of the benchmark; returns its name.

    Args:
        bench: Whose.
        what: What it is filled with, to be shown.
    """
    database = f"{bench.folder.name}_{_number(bench)}"
    bench.show(f"filling {database} with {what}", 0, 1)
    bench.server.execute(f"CREATE DATABASE {database}")
    return database


def fill(
    bench: Bench,
    queued: int,
    code_locations: int,
    slots: Slots,
    *,
    finished: int = 0,
    tags: Mapping[str, str] | None = None,
) -> FilledQueue:
    """Make a database with a queue.

    Args:
        bench: Where to.
        queued: How many runs, taken in turns from the code locations.
        code_locations: How many.
        slots: What is in progress.
        finished: How many runs have ended before, of the same code locations.
        tags: Tags of the queued runs.
    """
    names = names_of(code_locations)
    what = f"{queued:,} runs of {code_locations} code locations"
    database = create_database(bench, what)
    total = LIMIT if slots is Slots.ONE_FREE else LIMIT + 1
    filled = FilledQueue(bench.server.url(database), names, max_concurrent_runs=total * code_locations)
    queue = filled.open(bench, "plain", {})
    if finished:
        add_finished_runs(
            queue, names, finished, lambda made, of: bench.show(f"{database}: finished runs", made, of)
        )
    for name in names[:-1]:
        queue.put(name, DagsterRunStatus.STARTED, LIMIT, tag=name)
    last_in_progress = {Slots.FULL: LIMIT, Slots.HELD: 0, Slots.ONE_FREE: LIMIT - 1}[slots]
    queue.put(names[-1], DagsterRunStatus.STARTED, last_in_progress, tag=names[-1])
    holding = bool(queued) and slots is Slots.HELD
    if holding:
        queue.create(names[-1], status=DagsterRunStatus.QUEUED, tags={CLT_TAG_KEY: names[-1], HELD["key"]: "yes"})
    put_in_turns(queue, names[:-1] if holding else names, queued - holding, tags)
    queue.instance.dispose()
    bench.server.execute("VACUUM ANALYZE", database)  # as PostgreSQL does by itself a minute later
    return filled


def put_in_turns(
    queue: RunQueue, code_locations: list[str], runs: int, tags: Mapping[str, str] | None = None
) -> None:
    """Queue runs of some code locations, in turns."""
    some = code_locations[: max(0, runs)]
    originals = [queue.put(name, DagsterRunStatus.QUEUED, tag=name, tags=tags)[0] for name in some]
    copy_runs(queue.instance, originals, runs - len(originals))


def _number(bench: Bench) -> int:
    return len(list(bench.folder.iterdir()))
