"""How long a slot stands idle on a live cluster, ours beside Dagster's own.

It needs what `make e2e` needs (KUBECONFIG, CHART, VERSION), and installs a release of its own.
"""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.idle_slot import LIMIT, PLAIN_1, PLAIN_5, RUNS, SECONDS, idle_seconds
from benchmarks.measure import OURS, Goal, Row
from benchmarks.report import as_data, table
from rich.console import Console

from tests.chart import location_names
from tests.e2e.benchmarks.live_cluster import installed_release
from tests.e2e.deployment import Deployment
from tests.e2e.runs import burst, histories, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

NAMESPACE = "dagster-benchmark"
MAX_CONCURRENT_RUNS = 5


def plain_values(interval: int) -> dict[str, Any]:
    """Values of Dagster's own coordinator with the same limits, on its own tag of the code location.

    Args:
        interval: Seconds between two ticks.
    """
    config = {
        "maxConcurrentRuns": MAX_CONCURRENT_RUNS,
        "tagConcurrencyLimits": [
            {"key": "dagster/code_location", "value": name, "limit": LIMIT} for name in location_names()
        ],
        "dequeueIntervalSeconds": interval,
        "dequeueUseThreads": True,
        "dequeueNumWorkers": 4,
    }
    return {"dagsterDaemon": {"runCoordinator": {"config": {"queuedRunCoordinator": config}}}}


def own_values() -> dict[str, Any]:
    """Values of ours with the same limits; its interval is the one of `deploy/values.yaml`."""
    config = {"code_location_limits": {"locations": dict.fromkeys(location_names(), LIMIT)}}
    return {"dagsterDaemon": {"runCoordinator": {"config": {"customRunCoordinator": {"config": config}}}}}


def install(deployment: Deployment, name: str, values: Mapping[str, Any]) -> None:
    """Bring the release to one of the compared coordinators.

    Args:
        deployment: The release.
        name: Which one.
        values: Its values.
    """
    deployment.upgrade(stock_coordinator=name != OURS, more_values=values)


def mean_idle_seconds(webserver: Webserver) -> float:
    """Flood both code locations and read from the event log how long their slots stood idle."""
    bursts = [burst(name, RUNS, seconds=SECONDS[name]) for name in location_names()]
    run_ids = webserver.launch([launch for turn in zip(*bursts, strict=True) for launch in turn])
    runs = wait_for_end(webserver, run_ids, seconds=900)
    succeeded(runs)
    found = histories(webserver, runs)
    return mean(
        seconds
        for name in location_names()
        for seconds in idle_seconds(
            [start for run in found for start in run.in_progress if start.code_location == name], LIMIT
        )
    )


def main() -> None:
    """Install the release, measure in turns, remove it."""
    parser = ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write the results there as well")
    options = parser.parse_args()
    console = Console()
    compared = {OURS: own_values(), PLAIN_5: plain_values(5), PLAIN_1: plain_values(1)}
    seconds: dict[str, list[float]] = {name: [] for name in compared}
    console.log(f"installing the release into the namespace {NAMESPACE}")
    with installed_release(parser, NAMESPACE) as (deployment, webserver):
        for number in range(options.rounds):
            for name in [*compared][number % 3 :] + [*compared][: number % 3]:
                console.log(f"round {number + 1} of {options.rounds}: {name}")
                install(deployment, name, compared[name])
                seconds[name].append(mean_idle_seconds(webserver))
                console.log(f"{seconds[name][-1]:.2f} s idle on average")
    what = f"live cluster, interval 1 s, {2 * RUNS} runs a round"
    rows = [
        Row("idle_slot", what, "s", seconds[OURS], seconds[PLAIN_5], PLAIN_5, Goal(most=1.0), by_mean=True),
        Row("idle_slot", what, "s", seconds[OURS], seconds[PLAIN_1], PLAIN_1, Goal(ratio=1.0), by_mean=True),
    ]
    console.print(table(rows))
    if options.output:
        options.output.write_text(json.dumps(as_data(rows, postgresql="of the chart"), indent=2) + "\n")


if __name__ == "__main__":
    main()
