"""The first install: healthy pods prove little, so runs are asked for."""

from tests.chart import location_names
from tests.e2e.cluster import Cluster, is_ready
from tests.e2e.deployment import Deployment, limits
from tests.e2e.runs import burst, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

RUN_QUEUE = "{ instance { runQueuingSupported runQueueConfig { maxConcurrentRuns tagConcurrencyLimitsYaml } } }"


def test_every_pod_is_ready(deployment: Deployment) -> None:
    """Daemon, webserver, both code servers and the database are up."""
    pods = deployment.cluster.items("pods")
    assert len(pods) == 3 + len(location_names())
    assert [pod["metadata"]["name"] for pod in pods if not is_ready(pod)] == []


def test_the_webserver_shows_the_limits(webserver: Webserver) -> None:
    """The webserver loads the coordinator and shows what it limits."""
    answer = webserver.ask(RUN_QUEUE)
    assert answer["runQueuingSupported"] is True
    assert answer["runQueueConfig"]["maxConcurrentRuns"] == 5
    for location, limit in limits().items():
        assert location in answer["runQueueConfig"]["tagConcurrencyLimitsYaml"]
        assert f"limit: {limit}" in answer["runQueueConfig"]["tagConcurrencyLimitsYaml"]


def test_a_run_of_each_code_location_succeeds(webserver: Webserver) -> None:
    """One run of each code location is launched, dequeued and ends well."""
    run_ids = webserver.launch([burst(location, 1)[0] for location in location_names()])
    succeeded(wait_for_end(webserver, run_ids))


def test_the_metrics_are_served_beside_the_daemon(cluster: Cluster, deployment: Deployment) -> None:
    """The daemon's sidecar answers Prometheus."""
    (daemon,) = deployment.cluster.pods("dagster-daemon")
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{daemon['metadata']['name']}:9464/proxy/metrics"
    answer = cluster.kubectl("get", "--raw", path)
    for location in location_names():
        assert f'"{location}"' in answer
