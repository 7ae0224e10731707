"""The cluster and the releases on it; each folder is a marker, for `make e2e MARKERS=restore`."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from tests.chart import ROOT
from tests.e2e.cluster import Cluster
from tests.e2e.deployment import Deployment
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
HERE = Path(__file__).parent
ARTIFACTS = ROOT / "artifacts" / "e2e"
NEEDED = {
    "KUBECONFIG": "the file that names a cluster",
    "CHART": "the Dagster chart: a directory, an archive, or a version of dagster/dagster",
    "VERSION": "the tag of the images that `make e2e-images` built and the cluster can pull",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the name of its folder; pyproject.toml says what each is about."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("e2e")
            item.add_marker(item.path.relative_to(HERE).parts[0])


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


@contextmanager
def release(request: pytest.FixtureRequest, cluster: Cluster, name: str, *others: Cluster) -> Iterator[Deployment]:
    """A namespace for a release; all of it is removed at the end, with the pods' logs kept where a test failed.

    Args:
        request: Of the fixture that installs the release.
        cluster: The namespace.
        name: What the folder of the logs begins with.
        others: More namespaces whose pods belong to it, for which the same is done.
    """
    prepared = Deployment(cluster, os.environ["CHART"])
    failed_before = request.session.testsfailed
    failed = True
    log.info("preparing the namespace %s", cluster.namespace)
    try:
        prepared.prepare()
        yield prepared
        failed = request.session.testsfailed > failed_before
    finally:
        if failed:
            folder = ARTIFACTS / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
            log.info("keeping the pods' logs in %s", folder)
            cluster.keep_logs(folder)
            for other in others:
                other.keep_logs(folder / other.namespace)
        log.info("removing the release and the namespace %s", cluster.namespace)
        prepared.remove()
        for other in others:
            other.delete_namespace()


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Deployment]:
    """A release for the tests of one file."""
    with release(request, cluster, "release") as prepared:
        prepared.upgrade()
        yield prepared


@pytest.fixture(scope="module")
def webserver(deployment: Deployment) -> Iterator[Webserver]:
    """The release's webserver, through a port-forward, which comes from the node."""
    with closing(Webserver(deployment.cluster)) as client:
        yield client
