"""What a fault test works on: a system on PostgreSQL, a flood of runs, and the judge at the end."""

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from clt_queued_run_coordinator.store import live
from dagster import DagsterRunStatus as Status
from harness.concurrency import LimitChange, longest_overtaking, violations, violations_while_changing
from harness.event_log import run_histories, runs_in_progress, runs_queued
from harness.run_history import problems
from harness.system import System, trial_config
from harness.waiting import wait_until
from sqlalchemy.exc import DBAPIError
from tests.faults.flood import Flood
from tests.postgresql import PostgreSQL

MAX_CONCURRENT_RUNS = 4
LIMITS = {"code-location-a": 3, "code-location-b": 3}
START_TIMEOUT = 120  # seconds; long enough that a loaded machine starts a run's process within it
MAX_RUNTIME = 150  # seconds
TICK = 20  # seconds that a tick takes at most from reading the limits to its last start
OVERTAKEN = 3 * MAX_CONCURRENT_RUNS  # starts in a row past a code location that has room
_OPEN = [status for status in Status if status not in {Status.SUCCESS, Status.FAILURE, Status.CANCELED}]


class Scene:
    """A system under a flood of runs.

    Args:
        system: It, running.
        postgresql: The server with its database.
        database: The name of that.
        seed: Of the moments and the choices; the same seed makes the same ones.
    """

    def __init__(self, system: System, postgresql: PostgreSQL, database: str, seed: int) -> None:
        self.system = system
        self.postgresql = postgresql
        self.database = database
        self.seed = seed
        self.random = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self.flood = Flood(system)
        self.launches = 0
        self.changes: list[LimitChange] = []

    def wait(self, low: float, high: float) -> None:
        """Let a random time pass, in seconds: the moment of the fault is the random choice here."""
        time.sleep(self.random.uniform(low, high))

    def begin(self, clients: int = 3, runs: int = 5) -> None:
        """Start the flood and wait until it is well under way."""
        already = len(self.flood.acknowledged)
        self.launches += clients * runs
        self.flood.start(clients, runs)
        wait_until("runs are queued", lambda: len(self.flood.acknowledged) >= already + 3, every=0.1)
        wait_until("runs are in progress", lambda: self.open_runs(Status.STARTING, Status.STARTED), every=0.1)

    def open_runs(self, *statuses: Status) -> list[dg.DagsterRun]:
        """The runs in some statuses; by default those that have not ended."""
        with self.system.instance() as instance:
            return list(instance.get_runs(dg.RunsFilter(statuses=list(statuses) or _OPEN)))

    def run_ids_begun(self) -> set[str]:
        """The runs that the daemon has taken out of the queue so far."""
        return {run.run_id for run in self.open_runs() if run.status is not Status.QUEUED}

    def drain(self, seconds: float = 1000) -> None:
        """Wait until every client is done and every run has ended; restarts what ended, as Kubernetes would."""

        def drained() -> bool:
            self.system.restart_ended()
            if self.flood.running:
                return False
            try:
                return not self._runs_to_come()
            except DBAPIError:  # the database is what is broken
                return False

        wait_until("the queue has drained by itself", drained, seconds=seconds, every=1)

    def is_calm(self, runs: int) -> bool:
        """Whether every client is done and at most so many runs have not ended; restarts what ended."""
        self.system.restart_ended()
        return not self.flood.running and len(self.open_runs()) <= runs

    def set_limit(self, code_location: str, limit: int | None) -> None:
        """Limit a code location live; None goes back to the configured limit."""
        with self.system.instance() as instance:
            if limit is None:
                live.clear_limit(instance, code_location)
            else:
                live.set_limit(instance, code_location, limit)
        self.changes.append(
            LimitChange(time.time(), code_location, LIMITS[code_location] if limit is None else limit)
        )

    def pause(self, code_location: str) -> None:
        """Pause a code location."""
        with self.system.instance() as instance:
            live.pause(instance, code_location)
        self.changes.append(LimitChange(time.time(), code_location, 0))

    def resume(self, code_location: str) -> None:
        """End the pause; the live limit is cleared with it, so that the configured one holds."""
        with self.system.instance() as instance:
            live.clear_limit(instance, code_location)
            live.resume(instance, code_location)
        self.changes.append(LimitChange(time.time(), code_location, LIMITS[code_location]))

    def verdict(self, *, starvation: bool = True, clocks_differ: bool = False) -> list[str]:
        """What did not go as it should, by the event log and the run storage.

        Args:
            starvation: Judge whether a code location was overtaken without end; not where it could not be started.
            clocks_differ: Measure by positions in the event log instead of times.
        """
        acknowledged = self.flood.acknowledged
        with self.system.instance() as instance:
            found = run_histories(instance, acknowledged)
            ids = [run.run_id for run in found]
            times = runs_in_progress(instance, ids, by_position=clocks_differ)
            waits = runs_queued(instance, ids, by_position=clocks_differ)
        overtaken = longest_overtaking(waits, times, LIMITS)
        statuses = Counter(run.status for run in found)
        print(  # noqa: T201 - shown where the test fails, and by -s
            f"seed {self.seed}: {len(acknowledged)} acknowledged, {len(self.flood.refused)} refused,"
            f" {len(found)} runs in all"
            f" ({', '.join(f'{runs} {status}' for status, runs in sorted(statuses.items()))}),"
            f" overtaken at most {overtaken}, retries given up {sum(run.retry_given_up for run in found)}"
        )
        return [
            *([] if len(acknowledged) == self.launches else [f"{self.launches} runs were asked for"]),
            *problems(found, acknowledged),
            *map(str, violations_while_changing(times, LIMITS, self.changes, TICK)),
            *map(str, violations(times, {}, MAX_CONCURRENT_RUNS)),
            *(
                f"{name} was overtaken by {most} runs in a row while it had room"
                for name, most in overtaken.items()
                if starvation and most > OVERTAKEN
            ),
        ]

    def _runs_to_come(self) -> bool:
        """Whether a run has not ended, or a failed one is still to be retried by Dagster's daemon.

        One statement reads all runs: between two of them a run could fail, or a retry be queued, unseen by both.
        Dagster says of a failed run whether it will be retried only after it has stored the failure.
        """
        with self.system.instance() as instance:
            return any(is_to_come(run.status, run.tags) for run in instance.get_runs())


def is_to_come(status: Status, tags: Mapping[str, str]) -> bool:
    """Whether a run has not ended, or has failed and is or may be still to be retried.

    Args:
        status: Its status.
        tags: Its tags.
    """
    if status is not Status.FAILURE:
        return status in _OPEN
    return tags.get("dagster/will_retry") != "false" and "dagster/auto_retry_run_id" not in tags


def instance_config(url: str) -> dict[str, Any]:
    """The instance as we recommend it, with times short enough for a test."""
    config = trial_config(
        max_concurrent_runs=MAX_CONCURRENT_RUNS,
        code_location_limits={"locations": LIMITS, "sharing": "fair"},
        user_code_failure_retry_delay=3,
        dequeue_num_workers=MAX_CONCURRENT_RUNS,
    )
    config["storage"] = {"postgres": {"postgres_url": url}}
    config["run_monitoring"] = {
        "enabled": True,
        "start_timeout_seconds": START_TIMEOUT,
        "max_runtime_seconds": MAX_RUNTIME,
        "poll_interval_seconds": 2,
    }
    config["run_retries"] = {"enabled": True, "max_retries": 4}
    return config


@contextmanager
def opened_scene(
    home: Path, postgresql: PostgreSQL, url: str, seed: int, config: Mapping[str, Any] | None = None
) -> Iterator[Scene]:
    """A scene whose system runs for as long as the context, on a `dagster.yaml` of its own where one is given."""
    system = System(
        home, config or instance_config(url), environment={"PYTHONPATH": str(Path(__file__).parents[2])}
    )
    scene = Scene(system, postgresql, url.rsplit("/", 1)[-1], seed)
    try:
        with system:
            yield scene
    finally:
        scene.flood.stop()
