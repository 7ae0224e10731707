"""What an operator does, through `dagster-clt` in the daemon's pod: explain, pause for a while, drain, watch."""

import json
import logging
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.launches import A, B
from harness.prometheus import Prometheus
from harness.waiting import wait_until

from tests.e2e.cluster import Cluster
from tests.e2e.command_line import command, status_of
from tests.e2e.deployment import Deployment
from tests.e2e.runs import burst, histories, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
METRICS_PORT = 9464


@pytest.fixture(scope="module", autouse=True)
def as_first_installed(deployment: Deployment, webserver: Webserver) -> None:
    """The values as they are, whatever the tests before have left; nothing queued."""
    deployment.upgrade()
    wait_until("nothing is queued or in progress", lambda: not unfinished(webserver), seconds=300, every=3)


def unfinished(webserver: Webserver) -> list[dict[str, Any]]:
    """The runs that have not ended."""
    return webserver.runs(statuses=["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"])


def explained(cluster: Cluster, run_id: str) -> dict[str, Any]:
    """What `dagster-clt explain` says of a run."""
    found: dict[str, Any] = json.loads(cluster.kubectl(*command("explain", run_id, "--output", "json")))
    return found


def test_a_pause_is_explained_and_ends_by_itself(cluster: Cluster, webserver: Webserver) -> None:
    """The run waits for the end of the pause, is explained by it, and starts when it is over."""
    given = time.time()
    cluster.kubectl(*command("pause", B, "--for", "40s", "--reason", "the ledger is moved"))
    (run_id,) = webserver.launch(burst(B, 1))
    explanation = explained(cluster, run_id)
    assert "the ledger is moved" in json.dumps(explanation)
    line = status_of(cluster, B)
    assert (line["limit"], line["limit_from"], line["change_reason"]) == (0, "paused", "the ledger is moved")
    runs = wait_for_end(webserver, [run_id])
    succeeded(runs)
    (found,) = histories(webserver, runs)
    # The pause began after the command was given, so by this machine's clock it can't have ended before.
    assert found.in_progress[0].start >= given + 40 - 1


def test_a_code_location_is_drained_for_its_upgrade(deployment: Deployment, webserver: Webserver) -> None:
    """Its runs in progress end, its queued ones wait for the upgrade, the other code location goes on."""
    drained = webserver.launch(burst(A, 4, seconds=6))
    others = webserver.launch(burst(B, 6, seconds=6))
    deployment.cluster.kubectl(*command("drain", A, "--timeout", "3m", "--reason", "a release"))
    in_progress = {run["id"] for run in webserver.runs(drained, statuses=["NOT_STARTED", "STARTING", "STARTED"])}
    assert in_progress == set()
    queued = {run["id"] for run in webserver.runs(drained, statuses=["QUEUED"])}
    log.info("upgrading %s with %d of its runs queued", A, len(queued))
    assert queued
    began = time.time()
    deployment.upgrade(settings={"dagster-user-deployments.deployments[0].annotations.release": "second"})
    assert {run["id"] for run in webserver.runs(drained, statuses=["QUEUED"])} == queued
    assert webserver.runs(others, statuses=["STARTED", "SUCCESS"])
    deployment.cluster.kubectl(*command("resume", A))
    runs = wait_for_end(webserver, [*drained, *others])
    succeeded(runs)
    for each in histories(webserver, runs):
        if each.run_id in queued:
            assert each.in_progress[0].start > began


@pytest.mark.usefixtures("prometheus")
def test_a_real_prometheus_scrapes_the_exporter(cluster: Cluster, webserver: Webserver, tmp_path: Path) -> None:
    """The starts of a burst are counted once. Counters may begin again where the daemon's pod is replaced."""
    before = starts(cluster, tmp_path / "before")
    succeeded(wait_for_end(webserver, webserver.launch(burst(B, 5, seconds=4))))
    wait_until(
        "the exporter tells all five starts", lambda: starts(cluster, tmp_path / "after") == before + 5, every=2
    )


def starts(cluster: Cluster, folder: Path) -> float:
    """How often runs of B have started, as a Prometheus that scrapes the daemon's pod has it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    query = f'dagster_clt_starts_total{{code_location="{B}"}}'
    with forwarded(cluster) as port, Prometheus(folder, port) as prometheus:
        answer = prometheus.query(query)
    return float(answer[0]["value"][1]) if answer else 0.0


@contextmanager
def forwarded(cluster: Cluster) -> Iterator[int]:
    """A local port that leads to the exporter in the daemon's pod."""
    arguments = ["port-forward", "deployment/dagster-daemon", f":{METRICS_PORT}"]
    forward = subprocess.Popen(
        ["kubectl", "--namespace", cluster.namespace, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        line = forward.stdout.readline() if forward.stdout else ""
        port = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert port, "kubectl forwards no port to the exporter"
        yield int(port[1])
    finally:
        forward.kill()
        forward.wait()
