"""How many runs a second a daemon starts on a live cluster, and what a start costs: ours beside Dagster's own.

It needs what `make e2e` needs (KUBECONFIG, CHART, VERSION), and installs a release of its own. The runs ask for a
CPU that no node has. So the daemon creates each Job, with all that this takes of Kubernetes, and no pod of a run
takes a share of the machine.
"""

import json
from argparse import ArgumentParser
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from harness.launches import A, launch_of
from harness.waiting import wait_until
from rich.console import Console
from rich.table import Table

from tests.e2e.benchmarks.live_cluster import installed_release
from tests.e2e.cluster import Cluster
from tests.e2e.deployment import Deployment
from tests.e2e.runs import histories
from tests.e2e.webserver import Webserver

NAMESPACE = "dagster-sizing"
QUEUED = "{ runsOrError(filter: {statuses: [QUEUED]}, limit: 1) { ... on Runs { count } } }"
CANCEL = """
mutation($runs: [String!]!) {
  terminateRuns(runIds: $runs, terminatePolicy: MARK_AS_CANCELED_IMMEDIATELY) {
    __typename ... on Error { message }
  }
}
"""
AT_ONCE = 25
"""Launches in one request, and the starts that each measurement begins with, which don't count."""
NO_LIMIT = 100_000
OURS, NO_CONNECTION_KEPT, PLAIN = "this coordinator", "daemon_connections: 0", "Dagster's own"
CPU_SECONDS = """
date +%s.%N
if [ -f /sys/fs/cgroup/cpu.stat ]; then awk '/^usage_usec/ {print $2 / 1e6}' /sys/fs/cgroup/cpu.stat
else awk '{print $1 / 1e9}' /sys/fs/cgroup/cpuacct/cpuacct.usage; fi
"""
"""Prints the time and the CPU seconds that a container has used so far; its control group is of version 2 or 1."""


CONTAINERS = (["deployment/dagster-daemon", "--container=dagster"], ["dagster-postgresql-0"])


@dataclass(frozen=True)
class Starts:
    """What some starts took.

    Attributes:
        rate: Starts a second.
        daemon: CPU seconds of the daemon for each.
        postgresql: The same of PostgreSQL.
    """

    rate: float
    daemon: float
    postgresql: float


def values(coordinator: str) -> dict[str, Any]:
    """Values with limits that nothing reaches; everything else is as in `deploy/values.yaml`."""
    own: dict[str, Any] = {"locations": {A: NO_LIMIT}}
    if coordinator == NO_CONNECTION_KEPT:
        own["daemon_connections"] = 0
    configs: dict[str, Any] = {
        "customRunCoordinator": {"config": {"max_concurrent_runs": NO_LIMIT, "code_location_limits": own}}
    }
    if coordinator == PLAIN:
        limit = {"key": "dagster/code_location", "value": A, "limit": NO_LIMIT}
        plain = {"maxConcurrentRuns": NO_LIMIT, "tagConcurrencyLimits": [limit]}
        configs = {"queuedRunCoordinator": plain | {"dequeueUseThreads": True, "dequeueNumWorkers": 4}}
    return {
        "dagsterDaemon": {
            "runCoordinator": {"config": configs},
            "runMonitoring": {"startTimeoutSeconds": 7200},
            "resources": {"limits": {"cpu": None, "memory": "2Gi"}},
        }
    }


def cpu_seconds(cluster: Cluster, container: list[str]) -> tuple[float, float]:
    """The time, in seconds since the epoch, and the CPU seconds that a container has used until then."""
    time, seconds = cluster.kubectl("exec", *container, "--", "sh", "-c", CPU_SECONDS).split()
    return float(time), float(seconds)


def measure(deployment: Deployment, webserver: Webserver, coordinator: str, runs: int) -> Starts:
    """Queue some runs while there is no daemon, then let it start them all.

    Args:
        deployment: The release.
        webserver: Its webserver.
        coordinator: Which one the release gets.
        runs: How many starts count.
    """
    deployment.upgrade(stock_coordinator=coordinator == PLAIN, more_values=values(coordinator))
    cluster = deployment.cluster
    scale = ["scale", "deployment/dagster-daemon"]
    cluster.kubectl(*scale, "--replicas=0")
    wait_until("the daemon is gone", lambda: not cluster.items("pods", "component=dagster-daemon"), every=1)
    unplaceable = {"container_config": {"resources": {"requests": {"cpu": "1000"}, "limits": {"cpu": "1000"}}}}
    launch = replace(launch_of(A, 1), tags={"dagster-k8s/config": json.dumps(unplaceable)})
    run_ids = [
        run_id for _ in range(0, runs + AT_ONCE, AT_ONCE) for run_id in webserver.launch([launch] * AT_ONCE)
    ]

    def queued() -> int:
        return int(webserver.ask(QUEUED)["count"])

    cluster.kubectl(*scale, "--replicas=1")
    wait_until("the daemon has begun", lambda: queued() <= len(run_ids) - AT_ONCE, seconds=600)
    before = [cpu_seconds(cluster, container) for container in CONTAINERS]
    wait_until("every run has left the queue", lambda: not queued(), seconds=1800, every=0.5)
    after = [cpu_seconds(cluster, container) for container in CONTAINERS]
    found = histories(webserver, webserver.runs(run_ids))
    starts = sorted(each.in_progress[0].start for each in found)
    webserver.ask(CANCEL, runs=run_ids)
    cluster.kubectl("delete", "jobs", "--all", "--wait=true")
    daemon, postgresql = (
        (used - used_before) / sum(start > since for start in starts)
        for (since, used_before), (_, used) in zip(before, after, strict=True)
    )
    return Starts((runs - 1) / (starts[-1] - starts[-runs]), daemon, postgresql)


def main() -> None:
    """Install the release, measure in turns, remove it."""
    parser = ArgumentParser(prog="python -m tests.e2e.benchmarks.sizing", description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="starts of each measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default: %(default)s)")
    options = parser.parse_args()
    console = Console(width=120)
    found: dict[str, list[Starts]] = {OURS: [], NO_CONNECTION_KEPT: [], PLAIN: []}
    console.log(f"installing the release into the namespace {NAMESPACE}")
    with installed_release(parser, NAMESPACE) as (deployment, webserver):
        for number in range(options.rounds):
            for name in [*found][number % 3 :] + [*found][: number % 3]:
                found[name].append(measure(deployment, webserver, name, options.runs))
                console.log(f"round {number + 1} of {options.rounds}: {name}: {found[name][-1]}")
    table = Table("coordinator", "starts a second", "this one against it", "daemon, each", "PostgreSQL, each")
    rates = {name: sorted(each.rate for each in rounds) for name, rounds in found.items()}
    for name, rounds in found.items():
        table.add_row(
            name,
            f"{median(rates[name]):.1f} ({rates[name][0]:.1f} to {rates[name][-1]:.1f})",
            f"{median(rates[OURS]) / median(rates[name]):.2f} times",
            f"{median(each.daemon for each in rounds) * 1000:.0f} ms",
            f"{median(each.postgresql for each in rounds) * 1000:.0f} ms",
        )
    console.print(table)


if __name__ == "__main__":
    main()
