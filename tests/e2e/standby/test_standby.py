"""The overlay standby: a second daemon takes over within seconds, whether the first one is killed or replaced."""

import json
import logging
import time
from collections.abc import Iterator

import pytest
from harness.launches import A, launch_of
from harness.waiting import wait_until

from tests.chart import ROOT
from tests.e2e.benchmarks.rollout import VALUES, measure, report
from tests.e2e.cluster import Cluster
from tests.e2e.command_line import command
from tests.e2e.conftest import release
from tests.e2e.deployment import Deployment
from tests.e2e.runs import wait_for_end
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
OVERLAY = ROOT / "deploy" / "overlays" / "standby"


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Deployment]:
    """The release with the overlay."""
    with release(request, cluster, "standby") as prepared:
        cluster.apply(OVERLAY / "manifests")
        prepared.post_renderer = OVERLAY / "post-renderer"
        prepared.upgrade(values_files=[OVERLAY / "values.yaml"], more_values=VALUES)
        yield prepared


def leader(deployment: Deployment) -> str:
    """The pod whose daemon dequeues."""
    found = json.loads(deployment.cluster.kubectl(*command("status", "--output", "json")))
    return str(found["dequeued_by"]).split()[0]


def test_one_of_two_daemons_dequeues(deployment: Deployment) -> None:
    """The other one says that it is the standby, and both pods are ready."""
    names = {pod["metadata"]["name"] for pod in deployment.cluster.pods("dagster-daemon")}
    assert len(names) == 2
    (standby,) = names - {leader(deployment)}
    assert "This daemon is the standby" in deployment.cluster.kubectl("logs", standby, "--container=dagster")


def test_the_standby_takes_over_when_the_leader_is_killed(deployment: Deployment, webserver: Webserver) -> None:
    """Its pod is killed without being asked."""
    killed = leader(deployment)
    began = time.monotonic()
    deployment.cluster.delete_pods(killed, kill=True)
    (run,) = webserver.launch([launch_of(A, 1)])
    wait_until("it is dequeued", lambda: not webserver.runs([run], statuses=["QUEUED"]), every=0.2)
    log.info("dequeued %.1f s after the leader was killed", time.monotonic() - began)
    (ended,) = wait_for_end(webserver, [run])
    assert ended["status"] == "SUCCESS"
    assert leader(deployment) != killed


def test_no_run_is_lost_in_a_rollout(deployment: Deployment, webserver: Webserver) -> None:
    """Both daemons are replaced under load."""
    deployment.cluster.wait_for_rollouts()
    found = measure(deployment, webserver, [OVERLAY / "values.yaml"])
    log.info("%s", report(found))
    assert found.submits
    assert found.lost == []
    assert found.in_progress == ["SUCCESS", "SUCCESS"]
