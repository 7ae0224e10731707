"""A release whose runs keep what they print in a bucket."""

import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.graphql import Launch
from harness.launches import A, B
from harness.waiting import wait_until

from tests.chart import ROOT, location_names
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import release
from tests.e2e.deployment import Deployment
from tests.e2e.runs import burst, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
OVERLAY = ROOT / "deploy" / "overlays" / "run-logs"
HERE = Path(__file__).parent
BUCKET = "dagster-run-logs"
ENDPOINT = "computeLogManager.config.s3ComputeLogManager.endpointUrl"
FILE_KEYS = """
query($id: ID!) {
  logsForRun(runId: $id) {
    ... on Error { message }
    ... on EventConnection { events { ... on LogsCapturedEvent { fileKey } } }
  }
}
"""
MESSAGES = """
query($id: ID!) {
  logsForRun(runId: $id) {
    ... on Error { message }
    ... on EventConnection { events { ... on MessageEvent { message } } }
  }
}
"""
LOGS = "query($key: [String!]!) { capturedLogs(logKey: $key) { stdout stderr } }"


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Deployment]:
    """The bucket's server, the Secret and the release with images that have dagster-aws."""
    with release(request, cluster, "run-logs") as prepared:
        cluster.apply(HERE / "s3.yaml", {"SERVER": ":".join(prepared.image("s3"))})
        cluster.kubectl(
            "create",
            "secret",
            "generic",
            "run-logs",
            "--from-literal=AWS_ACCESS_KEY_ID=test",
            "--from-literal=AWS_SECRET_ACCESS_KEY=test",
        )
        cluster.wait_for_rollouts()
        s3(prepared, f"create_bucket(Bucket='{BUCKET}')")
        upgrade(prepared)
        yield prepared


def upgrade(deployment: Deployment) -> subprocess.CompletedProcess[str]:
    """The release with the overlay, and with a job that prints in B."""
    names = {"daemon": "system", "webserver": "system"} | {name: name for name in location_names()}
    arguments = "dagster-user-deployments.deployments[1].dagsterApiGrpcArgs"
    return deployment.upgrade(
        images={component: f"{image}-run-logs" for component, image in names.items()},
        values_files=[OVERLAY / "values.yaml"],
        settings={ENDPOINT: "http://s3:9000", f"{arguments}[0]": "--module-name", f"{arguments}[1]": "printing"},
    )


def s3(deployment: Deployment, call: str) -> str:
    """A call of boto3's client, made where the server runs."""
    script = f"import boto3; print(boto3.client('s3', endpoint_url='http://127.0.0.1:9000').{call})"
    return deployment.cluster.kubectl("exec", "deployment/s3", "--", "python3", "-c", script)


def announcement(seconds: float = 0) -> Launch:
    """A run that prints."""
    return Launch(B, "announce", {"ops": {"speak": {"config": {"seconds": seconds}}}})


def captured(webserver: Webserver, run_id: str) -> dict[str, str]:
    """What the UI shows of a run's streams."""
    events = webserver.ask(FILE_KEYS, id=run_id)["events"]
    keys = [event["fileKey"] for event in events if event.get("fileKey")]
    found = [webserver.ask(LOGS, key=[run_id, "compute_logs", key]) for key in keys]
    return {stream: "".join(each[stream] or "" for each in found) for stream in ("stdout", "stderr")}


def test_what_a_run_printed_is_shown_after_its_pod_is_gone(deployment: Deployment, webserver: Webserver) -> None:
    """Both streams come out of the bucket, through the webserver, which never had the pod's disk."""
    (run_id,) = webserver.launch([announcement()])
    succeeded(wait_for_end(webserver, [run_id]))
    deployment.cluster.kubectl("delete", "job", f"dagster-run-{run_id}", "--cascade=foreground")
    assert deployment.cluster.items("pods", f"job-name=dagster-run-{run_id}") == []
    shown = captured(webserver, run_id)
    assert "this went to stdout\nthis came last\n" in shown["stdout"]
    assert "this went to stderr\n" in shown["stderr"]
    assert f"production/storage/{run_id}/compute_logs" in s3(deployment, f"list_objects_v2(Bucket='{BUCKET}')")


def test_it_is_shown_while_the_run_goes_on(webserver: Webserver) -> None:
    """What is printed so far is uploaded at an interval."""
    (run_id,) = webserver.launch([announcement(seconds=60)])
    shown = wait_until(
        "the beginning is shown", lambda: captured(webserver, run_id)["stdout"], seconds=180, every=2
    )
    assert shown == "this went to stdout\n"
    assert webserver.runs([run_id], statuses=["STARTED"])
    succeeded(wait_for_end(webserver, [run_id]))


def test_a_bucket_that_is_away_fails_no_run(deployment: Deployment, webserver: Webserver) -> None:
    """The run succeeds and its event log says that the logs were lost; the next run's are kept again."""
    deployment.cluster.kubectl("scale", "deployment/s3", "--replicas=0")
    wait_until("the server is gone", lambda: not deployment.cluster.items("pods", "app=s3"), every=1)
    run_ids = webserver.launch([announcement(), *burst(A, 1, seconds=1)])
    succeeded(wait_for_end(webserver, run_ids, seconds=600))
    for run_id in run_ids:
        events = webserver.ask(MESSAGES, id=run_id)["events"]
        assert any(
            "Exception while cleaning up compute log capture" in event.get("message", "") for event in events
        )
    deployment.cluster.kubectl("scale", "deployment/s3", "--replicas=1")
    deployment.cluster.wait_for_rollouts()
    s3(deployment, f"create_bucket(Bucket='{BUCKET}')")
    (run_id,) = webserver.launch([announcement()])
    succeeded(wait_for_end(webserver, [run_id]))
    assert "this came last" in captured(webserver, run_id)["stdout"]
