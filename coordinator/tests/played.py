"""Random workloads, played through by real ticks of the daemon under a clock of their own.

How long a run takes is drawn from a distribution of its job. So a test knows when each run really started, and
what was estimated of it before.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

import sqlalchemy as db
from clt_queued_run_coordinator._dagster import QUEUE_DAEMON
from clt_queued_run_coordinator.daemon import tick
from clt_queued_run_coordinator.operate.explanation import explain
from clt_queued_run_coordinator.operate.stored_run import find_runs
from clt_queued_run_coordinator.policy.estimate import Estimate
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunsTable
from dagster._daemon.types import DaemonHeartbeat
from tests.run_queue import RunQueue, ephemeral_run_queue

INTERVAL = 5
"""Seconds between two ticks."""
NAMES = ("code-location-a", "code-location-b", "code-location-c")
_WARM_UP = 60
"""Seconds before the estimates."""


@dataclass(frozen=True)
class Played:
    """What was estimated of a run, and when it started after that.

    Attributes:
        estimate: The estimate.
        started: The seconds after it.
    """

    estimate: Estimate
    started: float


@dataclass
class _Clock:
    """A clock that only goes on when it is told, ahead of the real one."""

    now: float = field(default_factory=lambda: time.time() + 60)


def played(seed: int, estimates: int = 5, arriving: float = 0.0) -> Iterator[Played]:
    """Play one workload with two or three code locations, and limits of any kind.

    Args:
        seed: Decides everything.
        estimates: Of how many queued runs the start is estimated, all at one moment.
        arriving: How many runs are queued in each second after that moment, on average.
    """
    random = Random(seed)  # noqa: S311 - nothing to keep secret
    lengths = {
        (name, f"job-{number}"): (random.uniform(2.0, 5.0), random.uniform(0.1, 1.0))
        for name in NAMES
        for number in range(random.randint(1, 3))
    }
    with ephemeral_run_queue(_options(random), {}) as queue:
        workload = _Workload(queue, random, lengths)
        for job, taken in lengths.items():
            workload.finish(job, [random.lognormvariate(*taken) for _ in range(random.randint(5, 40))])
        for _ in range(random.randint(10, 25)):
            workload.queue_one()
        workload.play(_WARM_UP)
        waiting = sorted(workload.waiting)
        said = {
            run_id: workload.estimate(run_id) for run_id in random.sample(waiting, min(estimates, len(waiting)))
        }
        began = workload.clock.now
        while said.keys() & workload.waiting:
            if random.random() < arriving * INTERVAL:
                workload.queue_one()
            workload.play(INTERVAL)
        for run_id, estimate in said.items():
            yield Played(estimate, workload.started[run_id] - began)


def _options(random: Random) -> dict[str, Any]:
    a, b, c = NAMES
    limits: dict[str, Any] = {
        "default": random.choice([1, 2, 3]),
        "sharing": random.choice(["fifo", "fair"]),
        "locations": {a: {"limit": 3, "max_per_job": random.choice([1, 3])}, b: {"weight": 2, "min": 1}},
    }
    if random.random() < 0.5:
        limits["groups"] = {"team": {"locations": [b, c], "limit": random.choice([2, 4])}}
    return {
        "max_concurrent_runs": random.choice([-1, 2, 3, 5]),
        "dequeue_interval_seconds": INTERVAL,
        "code_location_limits": limits,
    }


class _Workload:
    def __init__(
        self, queue: RunQueue, random: Random, lengths: Mapping[tuple[str, str], tuple[float, float]]
    ) -> None:
        self.queue, self._random, self._lengths = queue, random, lengths
        self.clock = _Clock()
        self.waiting: dict[str, tuple[str, str]] = {}
        self.started: dict[str, float] = {}
        self._ends: dict[str, float] = {}
        self._next_tick = self.clock.now

    def finish(self, job: tuple[str, str], seconds: list[float]) -> None:
        """Put runs into the history that took so long."""
        name, job_name = job
        original = self.queue.create(name, status=DagsterRunStatus.SUCCESS, job_name=job_name).run_id
        ids = [original, *self.queue.copy(original, len(seconds) - 1)]
        with self.queue.storage.connect() as connection:
            for run_id, took in zip(ids, seconds, strict=True):
                self._set(connection, run_id, start_time=1_000.0, end_time=1_000.0 + took)

    def queue_one(self) -> None:
        """Queue a run of some job, most likely with the usual priority."""
        job = self._random.choice([*self._lengths])
        priority = self._random.choice([None, None, None, 1])
        (run_id,) = self.queue.queue(job[0], priority=priority, job_name=job[1])
        self.waiting[run_id] = job

    def play(self, seconds: float) -> None:
        """Let the time go on, with the ends of runs and the ticks that fall into it."""
        until = self.clock.now + seconds
        with _clock_of_ticks(self.clock):
            while self._next_tick <= until:
                self.clock.now = self._next_tick
                self._next_tick += INTERVAL
                for run_id in [run_id for run_id, end in self._ends.items() if end <= self.clock.now]:
                    self.queue.instance.report_run_canceled(self.queue.run(run_id))
                    del self._ends[run_id]
                for run_id in self.queue.tick_ids():
                    took = self._random.lognormvariate(*self._lengths[self.waiting.pop(run_id)])
                    self.started[run_id] = self.clock.now
                    self._ends[run_id] = self.clock.now + took
        self.clock.now = until

    def estimate(self, run_id: str) -> Estimate:
        """What is estimated of a queued run now."""
        instance = self.queue.instance
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), QUEUE_DAEMON, "test", []))
        with self.queue.storage.connect() as connection:
            for running in self._ends:
                lasted = self.clock.now - self.started[running]
                self._set(connection, running, start_time=time.time() - lasted)
        (stored,) = find_runs(instance, run_id)
        explanation = explain(instance, self.queue.coordinator, stored)
        assert explanation
        return explanation.estimate

    @staticmethod
    def _set(connection: db.Connection, run_id: str, **values: float) -> None:
        connection.execute(RunsTable.update().where(RunsTable.c.run_id == run_id).values(**values))


@contextmanager
def _clock_of_ticks(clock: _Clock) -> Iterator[None]:
    with mock.patch.object(tick, "time", SimpleNamespace(time=lambda: clock.now, perf_counter=time.perf_counter)):
        yield
