"""What launches and starts cost on a live cluster, with one CPU limit of the daemon after the other.

It needs what `make e2e` needs (KUBECONFIG, CHART, VERSION), and installs a release of its own. The runs ask for a
CPU that no node has. So the daemon creates each Job, with all that this takes of Kubernetes, and no pod of a run
takes a share of the machine.
"""

import json
import time
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness.launches import A, launch_of
from harness.waiting import wait_until
from rich.console import Console
from rich.table import Table

from tests.e2e.benchmarks.live_cluster import installed_release
from tests.e2e.cluster import Cluster
from tests.e2e.command_line import command
from tests.e2e.deployment import Deployment
from tests.e2e.webserver import Webserver

NAMESPACE = "dagster-sizing"
QUEUED = "{ runsOrError(filter: {statuses: [QUEUED]}, limit: 1) { ... on Runs { count } } }"
AT_ONCE = 25
"""Launches in one request."""
CONTAINERS = {
    "daemon": ("dagster-daemon-", "dagster"),
    "metrics": ("dagster-daemon-", "metrics"),
    "webserver": ("dagster-dagster-webserver-", "dagster"),
    "reload": ("dagster-dagster-webserver-", "reload"),
    "code server": (f"dagster-dagster-user-deployments-{A}-", ""),
    "PostgreSQL": ("dagster-postgresql-", ""),
}
"""The begin of the pod's name, and the container's name where a pod has several."""


def values(cpu: str | None) -> dict[str, Any]:
    """Values with limits that nothing reaches.

    Args:
        cpu: The daemon's CPU limit; None for no limit.
    """
    config = {"max_concurrent_runs": 100_000, "code_location_limits": {"locations": {A: 100_000}}}
    return {
        "dagsterDaemon": {
            "runCoordinator": {"config": {"customRunCoordinator": {"config": config}}},
            "runMonitoring": {"startTimeoutSeconds": 7200},
            "resources": {"limits": {"cpu": cpu, "memory": "2Gi"}},
        }
    }


def usage(cluster: Cluster) -> dict[str, tuple[float, float]]:
    """CPU seconds so far and memory in 10^6 bytes of each container, as the kubelet counts them."""
    found: dict[str, tuple[float, float]] = {}
    for node in cluster.items("nodes"):
        path = f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary"
        for pod in json.loads(cluster.kubectl("get", "--raw", path))["pods"]:
            if pod["podRef"]["namespace"] != cluster.namespace:
                continue
            for name, (prefix, container) in CONTAINERS.items():
                if not pod["podRef"]["name"].startswith(prefix):
                    continue
                for each in pod["containers"]:
                    if container in ("", each["name"]):
                        found[name] = (
                            each["cpu"]["usageCoreNanoSeconds"] / 1e9,
                            each["memory"]["workingSetBytes"] / 1e6,
                        )
    return found


def costs(cluster: Cluster, what: str, count: int, act: Callable[[], object]) -> list[str]:
    """Act, and say what each of `count` cost each container: milliseconds of CPU; and its megabytes at the end."""
    before, begin = usage(cluster), time.monotonic()
    act()
    seconds = time.monotonic() - begin
    time.sleep(15)  # the kubelet counts every ten seconds
    after = usage(cluster)
    return [
        what,
        f"{count / seconds:.1f}",
        *(f"{(after[name][0] - before[name][0]) / count * 1000:.0f} ms" for name in CONTAINERS),
        *(f"{after[name][1]:.0f}" for name in CONTAINERS),
    ]


def measure(deployment: Deployment, webserver: Webserver, cpu: str | None, runs: int) -> list[list[str]]:
    """Queue some runs with everything paused, then let the daemon start them all.

    Args:
        deployment: The release.
        webserver: Its webserver.
        cpu: The daemon's CPU limit.
        runs: How many.
    """
    deployment.upgrade(more_values=values(cpu))
    cluster = deployment.cluster
    cluster.kubectl(*command("pause", "--all"))
    unplaceable = {"container_config": {"resources": {"requests": {"cpu": "1000"}, "limits": {"cpu": "1000"}}}}
    launch = replace(launch_of(A, 1), tags={"dagster-k8s/config": json.dumps(unplaceable)})
    named = cpu or "none"

    def launch_all() -> None:
        for _ in range(runs // AT_ONCE):
            webserver.launch([launch] * AT_ONCE)

    rows = [costs(cluster, f"{named}: launch", runs, launch_all)]
    cluster.kubectl(*command("resume", "--all"))
    rows.append(
        costs(
            cluster,
            f"{named}: start",
            runs,
            lambda: wait_until(
                "every run has left the queue",
                lambda: webserver.ask(QUEUED)["count"] == 0,
                seconds=1800,
                every=1,
            ),
        )
    )
    cluster.kubectl("delete", "jobs", "--all", "--wait=true")
    return rows


def main() -> None:
    """Install the release, measure, remove it."""
    parser = ArgumentParser(prog="python -m benchmarks.cluster_sizing", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="runs of each measurement (default: %(default)s)")
    parser.add_argument(
        "--cpu",
        nargs="*",
        default=["none", "500m", "250m"],
        help="CPU limits of the daemon (default: %(default)s)",
    )
    options = parser.parse_args()
    console = Console(width=180)
    table = Table("daemon's CPU limit", "a second", *CONTAINERS, *(f"{name} MB" for name in CONTAINERS))
    console.log(f"installing the release into the namespace {NAMESPACE}")
    with installed_release(parser, NAMESPACE) as (deployment, webserver):
        for cpu in options.cpu:
            console.log(f"CPU limit {cpu}")
            for row in measure(deployment, webserver, None if cpu == "none" else cpu, options.runs):
                console.log(" ".join(row))
                table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
