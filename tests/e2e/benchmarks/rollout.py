"""What a `helm upgrade` does to launches, dequeues and runs, second by second.

It needs what `make e2e` needs (KUBECONFIG, CHART, VERSION), and the same images under the tag NEXT_VERSION, to
which it upgrades daemon, webserver and code servers at once. It installs a release of its own.
"""

import dataclasses
import json
import logging
import os
import threading
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.launches import A, B, launch_of
from harness.waiting import wait_until
from rich.console import Console
from rich.table import Table

from tests.chart import location_names
from tests.e2e.benchmarks import submitter
from tests.e2e.benchmarks.live_cluster import installed_release
from tests.e2e.cluster import Cluster, is_ready
from tests.e2e.deployment import Deployment
from tests.e2e.runs import histories, wait_for_end
from tests.e2e.webserver import PORT, Webserver

log = logging.getLogger(__name__)
NAMESPACE = "dagster-rollout"
SUBMITTER = "submitter"
BEFORE_SECONDS, AFTER_SECONDS = 15, 20
"""How long launches are watched before `helm upgrade` and after it."""
LONG_SECONDS = 90
"""The work of the runs that are in progress all the time."""
COMPONENTS = ("dagster-daemon", "dagster-webserver", A, B)
VALUES: dict[str, Any] = {
    "dagsterDaemon": {
        "runCoordinator": {
            "config": {
                "customRunCoordinator": {
                    "config": {
                        "max_concurrent_runs": 1000,
                        "code_location_limits": {"locations": {A: 500, B: 500}},
                    }
                }
            }
        },
        # The suspended Jobs never report.
        "runMonitoring": {"startTimeoutSeconds": 3600},
        "runRetries": {"maxRetries": 0},
    }
}
"""No limit may hold a run back, so that the time to its dequeue is the daemon's alone."""


@dataclass(frozen=True)
class Submit:
    """One launch through the Service.

    Attributes:
        sent: When, in seconds since the epoch.
        seconds: Until the answer.
        run: The run's id; None if the launch failed.
        error: Why it failed.
    """

    sent: float
    seconds: float
    run: str | None
    error: str | None


@dataclass(frozen=True)
class Pods:
    """Ready pods at a moment: how many of each component, of the old and of the new images."""

    time: float
    old: dict[str, int]
    new: dict[str, int]


@dataclass(frozen=True)
class Rollout:
    """What was seen of an upgrade.

    Attributes:
        began: When `helm upgrade` was called, in seconds since the epoch.
        ended: When it had returned.
        submits: The launches, one a second.
        dequeued: When each launched run left the queue, by run.
        requeued: How many runs went back to the queue, since their code server didn't answer.
        lost: The runs that were launched and never left the queue.
        in_progress: The statuses in which the runs ended that were in progress from before the upgrade.
        image: The tag dagster/image of a run that was launched afterwards.
        pods: The ready pods, about once a second.
    """

    began: float
    ended: float
    submits: list[Submit]
    dequeued: dict[str, float]
    requeued: int
    lost: list[str]
    in_progress: list[str]
    image: str
    pods: list[Pods]

    @property
    def failed(self) -> list[Submit]:
        """The launches that failed."""
        return [submit for submit in self.submits if submit.run is None]

    @property
    def without_daemon(self) -> float:
        """The longest time in which no run was dequeued, in seconds."""
        times = sorted(self.dequeued.values())
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)

    @property
    def longest_answer(self) -> float:
        """The longest time until a launch was answered, in seconds."""
        return max((submit.seconds for submit in self.submits if submit.run), default=0.0)

    @property
    def longest_wait(self) -> float:
        """The longest time from a launch to the dequeue of its run, in seconds."""
        return max(
            (self.dequeued[submit.run] - submit.sent for submit in self.submits if submit.run in self.dequeued),
            default=0.0,
        )


def next_version() -> str:
    """The tag to which the release is upgraded."""
    return os.environ.get("NEXT_VERSION") or f"{os.environ['VERSION']}-next"


def measure(deployment: Deployment, webserver: Webserver, values_files: Sequence[Path] = ()) -> Rollout:
    """Upgrade an installed release to the images of NEXT_VERSION under load.

    Args:
        deployment: The release; installed with these values or without.
        webserver: Its webserver.
        values_files: More values, from before the upgrade on.
    """
    deployment.upgrade(values_files=values_files, more_values=VALUES)
    old = {pod["metadata"]["name"] for name in COMPONENTS for pod in deployment.cluster.pods(name)}
    long = webserver.launch([launch_of(B, LONG_SECONDS)] * 2)
    wait_until(
        "two runs are at work", lambda: len(webserver.runs(long, statuses=["STARTED"])) == len(long), every=1
    )
    with _submitting(deployment), _watching(deployment.cluster, old) as pods:
        wait_until("a run was launched", lambda: _submits(deployment.cluster), every=1)
        time.sleep(BEFORE_SECONDS)
        log.info("upgrading to %s", next_version())
        deployment.version, before = next_version(), deployment.version
        began = time.time()
        try:
            deployment.upgrade(values_files=values_files, more_values=VALUES)
        finally:
            deployment.version = before
        ended = time.time()
        log.info("upgraded in %.0f s", ended - began)
        time.sleep(AFTER_SECONDS)
        submits = _submits(deployment.cluster)
    webserver.wait_for_images({name: f"{deployment.registry}/{name}:{next_version()}" for name in (A, B)})
    (after,) = webserver.launch([launch_of(A, 1)])
    (last,) = wait_for_end(webserver, [after])
    ends = wait_for_end(webserver, long)
    launched = [submit.run for submit in submits if submit.run]
    found = {each.run_id: each for each in histories(webserver, webserver.runs(launched))}
    waiting = [run for run in launched if run not in found or not found[run].in_progress]
    return Rollout(
        began,
        ended,
        submits,
        {run: found[run].in_progress[0].start for run in launched if run not in waiting},
        sum(len(each.in_progress) > 1 for each in found.values()),
        waiting,
        [run["status"] for run in ends],
        last["tags"]["dagster/image"],
        pods,
    )


@contextmanager
def _submitting(deployment: Deployment) -> Iterator[None]:
    """The submitter in a pod of its own, with the system image, which the nodes have."""
    suspended = {"job_spec_config": {"suspend": True}}
    launch = dataclasses.replace(launch_of(A, 0), tags={"dagster-k8s/config": json.dumps(suspended)})
    script = Path(submitter.__file__).read_text()
    url = f"http://dagster-dagster-webserver:{PORT}"
    cluster = deployment.cluster
    cluster.kubectl(
        "run", SUBMITTER, f"--image={':'.join(deployment.image('system'))}", "--restart=Never",
        "--image-pull-policy=IfNotPresent", "--command", "--",
        "python", "-c", script, url, json.dumps(launch.parameters()),
    )  # fmt: skip
    try:
        yield
    finally:
        cluster.kubectl("delete", "pod", SUBMITTER, "--force", "--grace-period=0", check=False)


def _submits(cluster: Cluster) -> list[Submit]:
    """The launches that were answered so far, in the order in which they were sent."""
    lines = cluster.kubectl("logs", SUBMITTER, check=False).splitlines()
    found = [Submit(**json.loads(line)) for line in lines if line.startswith("{")]
    return sorted(found, key=lambda submit: submit.sent)


@contextmanager
def _watching(cluster: Cluster, old: set[str]) -> Iterator[list[Pods]]:
    """Note the ready pods about once a second."""
    seen: list[Pods] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(1):
            ready = [pod["metadata"] for pod in cluster.items("pods") if is_ready(pod)]
            serving = [pod for pod in ready if "deletionTimestamp" not in pod]
            counts = [
                dict(Counter(component(pod["labels"]) for pod in serving if (pod["name"] in old) is is_old))
                for is_old in (True, False)
            ]
            seen.append(Pods(time.time(), *counts))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def timeline(rollout: Rollout, step: int = 5) -> Table:
    """The upgrade in steps of some seconds, from a while before it to a while after it."""
    table = Table("seconds", "daemon", "webserver", *location_names(), "launched", "failed", "slowest", "dequeued")
    times = [submit.sent for submit in rollout.submits]
    first = int((min(times) - rollout.began) // step) * step
    for begin in range(first, int(max(times) - rollout.began) + 1, step):
        since, until = rollout.began + begin, rollout.began + begin + step
        submits = [submit for submit in rollout.submits if since <= submit.sent < until]
        pods = [pods for pods in rollout.pods if pods.time < until]
        cells = [_pods(pods[-1], name) for name in COMPONENTS] if pods else [""] * len(COMPONENTS)
        table.add_row(
            str(begin),
            *cells,
            str(sum(submit.run is not None for submit in submits)),
            str(sum(submit.run is None for submit in submits)),
            f"{max((submit.seconds for submit in submits), default=0):.1f}",
            str(sum(since <= time < until for time in rollout.dequeued.values())),
        )
    return table


def component(labels: Mapping[str, str]) -> str:
    """What a pod is: one of COMPONENTS, or something else."""
    named = labels.get("component", "")
    return named if named in COMPONENTS else labels.get("deployment", "")


def _pods(pods: Pods, component: str) -> str:
    """The ready pods of a component: old and new."""
    found = ["old"] * pods.old.get(component, 0) + ["new"] * pods.new.get(component, 0)
    return " + ".join(found) or "none"


def summary(rollout: Rollout) -> dict[str, Any]:
    """The upgrade in some numbers."""
    return {
        "helm upgrade, seconds": round(rollout.ended - rollout.began, 1),
        "launches": len(rollout.submits),
        "failed launches": len(rollout.failed),
        "longest answer to a launch, seconds": round(rollout.longest_answer, 1),
        "longest time without a dequeue, seconds": round(rollout.without_daemon, 1),
        "longest wait for a dequeue, seconds": round(rollout.longest_wait, 1),
        "put back into the queue": rollout.requeued,
        "lost runs": len(rollout.lost),
        "runs in progress ended": ", ".join(sorted(rollout.in_progress)),
        "image of the next run": rollout.image,
    }


def report(rollout: Rollout) -> str:
    """The upgrade as text: its steps, its numbers, and why launches failed."""
    console = Console(width=140)
    with console.capture() as capture:
        console.print(timeline(rollout))
    numbers = [f"{name}: {value}" for name, value in summary(rollout).items()]
    failures = [f"{submit.sent - rollout.began:.1f}: {submit.error}" for submit in rollout.failed]
    return "\n".join([capture.get(), *numbers, *failures])


def main() -> None:
    """Install the release, upgrade it under load, remove it."""
    parser = ArgumentParser(prog="python -m benchmarks.rollout", description=__doc__)
    parser.add_argument("--values", type=Path, action="append", default=[], help="more values, to compare with")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write what was seen there as well")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    console = Console(width=140)
    with installed_release(parser, NAMESPACE) as (deployment, webserver):
        rollout = measure(deployment, webserver, options.values)
    console.print(report(rollout), highlight=False)
    if options.output:
        options.output.write_text(json.dumps(dataclasses.asdict(rollout), indent=2) + "\n")


if __name__ == "__main__":
    main()
