"""A release whose runs make room for its daemon, and which no drain of a node interrupts."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from harness.launches import A, launch_of
from harness.waiting import wait_until

from tests.chart import ROOT
from tests.e2e.cluster import Cluster, is_ready
from tests.e2e.conftest import release
from tests.e2e.deployment import Deployment
from tests.e2e.runs import burst, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
OVERLAYS = ROOT / "deploy" / "overlays"
USED = ("priority", "disruption-budget")
SEAT = "dagster.example/seat"
"""A resource of the node that the test invents: the daemon takes one, and each of its runs."""


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Deployment]:
    """The release with both overlays, on a node with two seats."""
    node = cluster.items("nodes")[0]["metadata"]["name"]
    path = f"/status/capacity/{SEAT.replace('/', '~1')}"

    def patch(operation: dict[str, str]) -> None:
        cluster.kubectl(
            "patch", "node", node, "--subresource=status", "--type=json", f"--patch={json.dumps([operation])}"
        )

    patch({"op": "add", "path": path, "value": "2"})
    try:
        with release(request, cluster, "priority-and-disruption") as prepared:
            for overlay in USED:
                cluster.apply(OVERLAYS / overlay / "manifests")
            prepared.upgrade(
                more_values={"dagsterDaemon": {"resources": {"requests": {SEAT: 1}, "limits": {SEAT: 1}}}},
                values_files=[OVERLAYS / overlay / "values.yaml" for overlay in USED],
            )
            yield prepared
    finally:
        patch({"op": "remove", "path": path})
        cluster.kubectl("delete", "--filename", str(OVERLAYS / "priority" / "manifests"), "--ignore-not-found")


def evict(cluster: Cluster, pod: str) -> str:
    """Ask for a pod as a drain of its node does; what Kubernetes says."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": cluster.namespace},
    }
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}/eviction"
    return cluster.kubectl("create", "--raw", path, "--filename=-", stdin=json.dumps(eviction), check=False)


def run_pods(cluster: Cluster) -> dict[str, str]:
    """The phase of each run's pod that has not ended, by the run's id."""
    return {
        pod["metadata"]["labels"]["dagster/run-id"]: pod["status"]["phase"]
        for pod in cluster.items("pods", "app.kubernetes.io/component=run_worker")
        if pod["status"]["phase"] in ("Pending", "Running") and "deletionTimestamp" not in pod["metadata"]
    }


def test_one_webserver_may_be_evicted_and_the_other_stays(cluster: Cluster, deployment: Deployment) -> None:
    """The budget counts them."""
    wait_until(
        "both webservers are ready",
        lambda: [is_ready(pod) for pod in deployment.cluster.pods("dagster-webserver")] == [True, True],
        seconds=300,
    )
    first, second = (pod["metadata"]["name"] for pod in cluster.pods("dagster-webserver"))
    wait_until(
        "the budget allows an eviction",
        lambda: (
            [
                budget["status"].get("disruptionsAllowed")
                for budget in cluster.items("poddisruptionbudgets")
                if budget["metadata"]["name"] == "dagster-webserver"
            ]
            == [1]
        ),
    )
    assert "violate" not in evict(cluster, first)
    assert "violate the pod's disruption budget" in evict(cluster, second)


def test_a_run_may_not_be_evicted_until_it_has_ended(cluster: Cluster, webserver: Webserver) -> None:
    """A drain waits for it, and it ends well."""
    (run_id,) = webserver.launch(burst(A, 1, seconds=15))
    wait_until("its pod runs", lambda: run_pods(cluster).get(run_id) == "Running", every=1)
    (pod,) = cluster.items("pods", f"dagster/run-id={run_id}")
    assert "violate the pod's disruption budget" in evict(cluster, pod["metadata"]["name"])
    assert pod["spec"]["priorityClassName"] == "dagster-runs"
    assert pod["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
    succeeded(wait_for_end(webserver, [run_id]))
    wait_until("its pod has ended", lambda: run_id not in run_pods(cluster), every=1)
    assert "violate" not in evict(cluster, pod["metadata"]["name"])


def test_a_run_makes_room_for_the_daemon_and_is_retried(cluster: Cluster, webserver: Webserver) -> None:
    """Two runs have both seats while there is no daemon. It comes back at once, and both runs end well."""
    config = {"container_config": {"resources": {"requests": {SEAT: "1"}, "limits": {SEAT: "1"}}}}
    launch = replace(launch_of(A, 60), tags={"dagster-k8s/config": json.dumps(config)})
    run_ids = webserver.launch([launch] * 2)
    wait_until("both have left the queue", lambda: len(run_pods(cluster)) == 2, every=1)
    cluster.kubectl("scale", "deployment/dagster-daemon", "--replicas=0")
    wait_until("both runs have a seat", lambda: list(run_pods(cluster).values()) == ["Running"] * 2, every=1)
    cluster.kubectl("scale", "deployment/dagster-daemon", "--replicas=1")

    def back() -> bool:
        return any(is_ready(pod) for pod in cluster.pods("dagster-daemon"))

    wait_until("the daemon is back", back, seconds=240, every=1)
    assert "Preempted" in cluster.kubectl("get", "events", "--output", "jsonpath={.items[*].reason}")
    ended = wait_for_end(webserver, run_ids, seconds=600)
    assert sorted(run["status"] for run in ended) == ["FAILURE", "SUCCESS"]

    def retried() -> bool:
        runs = webserver.runs()
        return any(
            run["rootRunId"] in run_ids and run["id"] not in run_ids and run["status"] == "SUCCESS" for run in runs
        )

    wait_until("the run that made room was retried and ended well", retried, seconds=300, every=2)
