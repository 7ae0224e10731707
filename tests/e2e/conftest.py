"""The deployment that every test here uses, one after the other; gone when they end."""

import logging
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.deployment import ROOT, Deployment
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
ARTIFACTS = ROOT / "artifacts" / "e2e"
NEEDED = {
    "KUBECONFIG": "the file that names a cluster",
    "CHART": "the Dagster chart: a directory, an archive, or a version of dagster/dagster",
    "VERSION": "the tag of the images that `make e2e-images` built and the cluster can pull",
}


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """A namespace of the cluster; without a cluster every test is skipped."""
    for name, meaning in NEEDED.items():
        if not os.environ.get(name):
            pytest.skip(f"live cluster: {name} isn't set: {meaning}")
    for command in ("kubectl", "helm"):
        if not shutil.which(command):
            pytest.skip(f"live cluster: {command} isn't installed")
    return Cluster(os.environ.get("E2E_NAMESPACE", "dagster-e2e"))


@pytest.fixture(scope="session")
def deployment(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Deployment]:
    """The release; removed at the end, with the pods' logs kept where a test failed."""
    installed = Deployment(cluster, os.environ["CHART"])
    folder = ARTIFACTS / f"{datetime.now():%Y%m%d-%H%M%S}"
    log.info("installing the release into the namespace %s", cluster.namespace)
    try:
        installed.install()
    except BaseException:
        keep_logs(cluster, folder)
        installed.remove()
        raise
    yield installed
    if request.session.testsfailed:
        keep_logs(cluster, folder)
    log.info("removing the release and the namespace %s", cluster.namespace)
    installed.remove()


@pytest.fixture(scope="session")
def webserver(deployment: Deployment) -> Iterator[Webserver]:
    """The release's webserver."""
    client = Webserver(deployment.cluster)
    yield client
    client.close()


def keep_logs(cluster: Cluster, folder: Path) -> None:
    """Keep what the pods said."""
    log.info("keeping the pods' logs in %s", folder)
    cluster.keep_logs(folder)
