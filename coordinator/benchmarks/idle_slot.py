"""How long a slot stands idle, on the local trial: from a run's end to the next start of its code location."""

import itertools
from collections.abc import Callable, Iterator
from statistics import mean
from typing import Any

from harness.concurrency import InProgress
from harness.event_log import runs_in_progress
from harness.launches import JOBS, launch_of
from harness.system import System, trial_config, with_dagsters_own_coordinator
from harness.waiting import count_ended, wait_until

from benchmarks.measure import OURS, PLAIN, Bench, Goal, Row

LIMIT = 1
"""The limit of each code location. A higher one would measure a small machine that is busy with starting runs."""
RUNS = 6
"""Runs of each code location in a round."""
SECONDS = {"code-location-a": 3, "code-location-b": 4}
"""How long a run works, not the same, so that one's end is not the other's start each time."""
PLAIN_5 = f"{PLAIN}, interval 5 s (its default)"
PLAIN_1 = f"{PLAIN}, interval 1 s"


def run(bench: Bench) -> Iterator[Row]:
    """Ours at an interval of 1 s beside plain at its default interval and at the same one."""
    numbers = itertools.count()

    def idle(config: dict[str, Any]) -> Callable[[], float]:
        return lambda: _mean_idle_seconds(bench, f"trial-{next(numbers)}", config)

    limits = {"code_location_limits": {"default": LIMIT}, "max_concurrent_runs": 3 * LIMIT}
    seconds = bench.interleave(
        "the local trial",
        3,
        {
            OURS: idle(trial_config(**limits, dequeue_interval_seconds=1)),
            PLAIN_5: idle(_plain_config(5)),
            PLAIN_1: idle(_plain_config(1)),
        },
    )
    what = f"local trial, interval 1 s, {2 * RUNS} runs a round"
    yield Row("idle_slot", what, "s", seconds[OURS], seconds[PLAIN_5], PLAIN_5, Goal(most=1.0), by_mean=True)
    yield Row("idle_slot", what, "s", seconds[OURS], seconds[PLAIN_1], PLAIN_1, Goal(ratio=1.0), by_mean=True)


def idle_seconds(runs: list[InProgress], limit: int) -> list[float]:
    """How long each slot of a code location stood idle between two runs.

    Args:
        runs: The runs of one code location, with more of them queued until the last one has started.
        limit: Its limit.
    """
    starts = sorted(run.start for run in runs)
    ends = sorted(run.end for run in runs if run.end is not None)
    return [start - end for start, end in zip(starts[limit:], ends, strict=False)]


def _plain_config(interval: int) -> dict[str, Any]:
    """The trial with Dagster's own coordinator, limits on Dagster's own tag of the code location."""
    return with_dagsters_own_coordinator(
        trial_config(max_concurrent_runs=3 * LIMIT, dequeue_interval_seconds=interval),
        [{"key": "dagster/code_location", "value": {"applyLimitPerUniqueValue": True}, "limit": LIMIT}],
    )


def _mean_idle_seconds(bench: Bench, home: str, config: dict[str, Any]) -> float:
    launches = [launch_of(name, SECONDS[name]) for _ in range(3 if bench.quick else RUNS) for name in JOBS]
    with System(bench.folder / home, config) as system, system.instance() as instance:
        run_ids = system.graphql.launch_several(launches)

        wait_until(
            "every run has ended", lambda: count_ended(instance, run_ids) == len(run_ids), seconds=900, every=1
        )
        runs = runs_in_progress(instance, run_ids)
    return mean(
        seconds
        for name in system.code_servers
        for seconds in idle_seconds([run for run in runs if run.code_location == name], LIMIT)
    )
