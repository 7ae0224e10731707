"""From version 2.0.0 of this package to this one, with live changes; for a while both run beside each other."""

import os

import pytest
from harness.launches import A, B
from harness.waiting import wait_until

from tests.e2e.cluster import Cluster
from tests.e2e.command_line import command, status_of
from tests.e2e.deployment import Deployment
from tests.e2e.runs import burst
from tests.e2e.upgrade.release import drained_in_order, new_tag, queued, upgrade
from tests.e2e.webserver import Webserver

WEBSERVER = ["exec", "deployment/dagster-dagster-webserver", "--container=dagster", "--"]
VERSION = "from importlib.metadata import version; print(version('dagster-clt-queued-run-coordinator'))"


@pytest.fixture(scope="module", autouse=True)
def version_2_0_0(deployment: Deployment, cluster: Cluster) -> None:
    """The release with 2.0.0; only the containers beside the webserver are a newer one's."""
    reload = ":".join((deployment.image("system")[0], new_tag()))
    upgrade(
        deployment,
        f"{os.environ['VERSION']}-package-2.0.0",
        {"dagsterWebserver.extraContainers[0].image": reload, "dagsterWebserver.extraContainers[1].image": reload},
    )
    assert cluster.kubectl(*WEBSERVER, "python", "-c", VERSION).strip() == "2.0.0"


def test_from_2_0_0_with_live_changes(deployment: Deployment, cluster: Cluster, webserver: Webserver) -> None:
    """The old webserver queues runs for the new daemon, each sees the other's live changes, nothing is lost."""
    cluster.kubectl(*command("set-limit", A, "1"))
    cluster.kubectl(*command("resume", B))
    run_ids = webserver.launch([*burst(A, 3, seconds=5), *burst(B, 4, seconds=5)])
    wait_until("runs are in progress", lambda: webserver.runs(run_ids, statuses=["STARTED"]), every=1)
    cluster.kubectl(*command("pause", B))

    # The daemon alone is new: its image and the one of its container `metrics`.
    system = deployment.image("system")[0]
    mixed = {
        "dagsterDaemon.image.tag": new_tag(),
        "dagsterDaemon.extraContainers[0].image": f"{system}:{new_tag()}",
        "dagsterWebserver.extraContainers[0].image": f"{system}:{new_tag()}",
        "dagsterWebserver.extraContainers[1].image": f"{system}:{new_tag()}",
    }
    upgrade(deployment, deployment.version, mixed)
    assert cluster.kubectl(*WEBSERVER, "python", "-c", VERSION).strip() == "2.0.0"
    assert (status_of(cluster, A)["limit"], status_of(cluster, A)["limit_from"]) == (1, "live")
    assert status_of(cluster, B)["limit_from"] == "paused"
    late = webserver.launch(burst(B, 2, seconds=5))
    run_ids += late
    assert set(late) <= queued(webserver, run_ids, B)
    cluster.kubectl(*WEBSERVER, "dagster-clt", "set-limit", B, "2")
    cluster.kubectl(*WEBSERVER, "dagster-clt", "resume", B)
    assert (status_of(cluster, B)["limit"], status_of(cluster, B)["limit_from"]) == (2, "live")

    upgrade(deployment, new_tag())
    assert cluster.kubectl(*WEBSERVER, "python", "-c", VERSION).strip() != "2.0.0"
    assert (status_of(cluster, A)["limit"], status_of(cluster, B)["limit"]) == (1, 2)
    drained_in_order(webserver, run_ids)
