"""A release behind the policies: what must talk does; nobody else gets in, where the cluster enforces policies."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.launches import A, B

from tests.chart import ROOT
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import release
from tests.e2e.deployment import Deployment
from tests.e2e.runs import burst, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

MANIFESTS = ROOT / "deploy" / "overlays" / "network-policy" / "manifests"
CLOSED = [("dagster-postgresql", 5432), (A, 3030), ("dagster-dagster-webserver", 3000)]
"""Services, and ports, that a pod of another namespace must not reach."""


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Deployment]:
    """The release behind the policies."""
    with release(request, cluster, "network-policy") as prepared:
        cluster.apply(MANIFESTS)
        prepared.upgrade()
        yield prepared


@pytest.fixture(scope="module")
def elsewhere(cluster: Cluster, deployment: Deployment) -> Iterator[Cluster]:
    """A pod in another namespace."""
    other = Cluster(f"{cluster.namespace}-elsewhere")
    other.kubectl("create", "namespace", other.namespace)
    image = ":".join(deployment.image("system"))
    other.kubectl("run", "probe", f"--image={image}", "--", "sleep", "3600")
    other.kubectl("wait", "--for=condition=Ready", "pod/probe", "--timeout=240s")
    yield other
    other.delete_namespace()


def reaches(elsewhere: Cluster, host: str, port: int) -> bool:
    """Whether the pod can open a connection."""
    script = f"import socket; socket.create_connection(('{host}', {port}), 5); print('reached')"
    return "reached" in elsewhere.kubectl("exec", "probe", "--", "python", "-c", script, check=False)


def test_runs_are_launched_and_succeed(webserver: Webserver) -> None:
    """Webserver, daemon, code servers, runs and database reach what they need."""
    succeeded(wait_for_end(webserver, webserver.launch([*burst(A, 1), *burst(B, 1)]), seconds=600))


@pytest.mark.parametrize(("service", "port"), CLOSED)
def test_a_pod_of_another_namespace_reaches_nothing(
    cluster: Cluster, elsewhere: Cluster, service: str, port: int
) -> None:
    """Skipped where the cluster's network plugin enforces no policies."""
    if reaches(elsewhere, f"{service}.{cluster.namespace}", port):
        if enforces(elsewhere):
            pytest.fail(f"{service}:{port} is open to other namespaces")
        pytest.skip("this cluster enforces no network policies")


def enforces(elsewhere: Cluster) -> bool:
    """Whether the cluster enforces any: the pod still reaches the cluster's own API when it may reach nothing."""
    policy = Path(__file__).with_name("nothing.yaml")
    elsewhere.kubectl("apply", "--filename", str(policy))
    # A network plugin may need some seconds to hear of it.
    return any(not reaches(elsewhere, "kubernetes.default", 443) for _ in range(5))
