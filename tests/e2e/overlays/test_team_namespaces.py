"""A release whose runs have a namespace of their team, with the least rights; read-only root file systems."""

import logging
import subprocess
from collections.abc import Iterator

import pytest
from harness.launches import A, B
from harness.waiting import wait_until

from tests.chart import ROOT, location_names
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import release
from tests.e2e.deployment import Deployment, limits
from tests.e2e.runs import burst, held, histories, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
OVERLAYS = ROOT / "deploy" / "overlays"
RUNS_ACCOUNT = "dagster-dagster-user-deployments-user-deployments"
TERMINATE = """
mutation($id: String!) {
  terminateRun(runId: $id) { __typename ... on Error { message } }
}
"""
ASK_FOR_SECRETS = """
import ssl, sys, urllib.error, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
token = open(f"{folder}/token").read()
request = urllib.request.Request(
    f"https://kubernetes.default.svc/api/v1/namespaces/{sys.argv[1]}/secrets",
    headers={"Authorization": f"Bearer {token}"},
)
try:
    urllib.request.urlopen(request, context=ssl.create_default_context(cafile=f"{folder}/ca.crt"), timeout=30)
    print("allowed")
except urllib.error.HTTPError as error:
    print(error.code)
"""


@pytest.fixture(scope="module")
def teams(cluster: Cluster) -> dict[str, Cluster]:
    """The namespace of each code location's runs."""
    return {A: Cluster(f"{cluster.namespace}-team-a"), B: Cluster(f"{cluster.namespace}-team-b")}


@pytest.fixture(scope="module")
def deployment(
    request: pytest.FixtureRequest, cluster: Cluster, teams: dict[str, Cluster]
) -> Iterator[Deployment]:
    """The release with both overlays, in namespaces of the tests."""
    of_the_tests = {
        "dagster-team-": f"{cluster.namespace}-team-",
        "namespace: dagster\n": f"namespace: {cluster.namespace}\n",
        ".dagster.svc": f".{cluster.namespace}.svc",
    }
    settings = {
        f"dagster-user-deployments.deployments[{number}].deploymentNamespace": teams[name].namespace
        for number, name in enumerate(location_names())
    }
    with release(request, cluster, "team-namespaces", *teams.values()) as prepared:
        cluster.apply(OVERLAYS / "least-rights" / "manifests")
        for letter, team in zip("ab", teams.values(), strict=True):
            team.apply(OVERLAYS / "team-namespaces" / "namespaces" / f"team-{letter}.yaml", of_the_tests)
        prepared.upgrade(settings=settings, values_files=[OVERLAYS / "least-rights" / "values.yaml"])
        subprocess.run([str(OVERLAYS / "team-namespaces" / "after-helm"), cluster.namespace], check=True)
        yield prepared


def pod_of(team: Cluster, run_id: str) -> str:
    """The name of a run's pod, once it runs."""

    def running() -> str:
        pods = team.items("pods", f"dagster/run-id={run_id}")
        return "".join(pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running")

    return wait_until(f"the pod of run {run_id} runs", running, every=1)


def test_runs_of_each_code_location_are_in_their_teams_namespace(
    cluster: Cluster, teams: dict[str, Cluster], webserver: Webserver
) -> None:
    """None is in the release's own; the limits hold as ever."""
    run_ids = webserver.launch([*burst(A, 3), *burst(B, 3)])
    runs = wait_for_end(webserver, run_ids, seconds=600)
    succeeded(runs)
    held(histories(webserver, runs), limits(), total=5)
    for name, team in teams.items():
        labels = [job["metadata"]["labels"] for job in team.items("jobs")]
        assert {label["dagster/code-location"] for label in labels} == {name}
        assert {label["dagster/run-id"] for label in labels} <= set(run_ids)
    assert cluster.items("jobs") == []


def test_a_run_sees_no_secret_and_can_be_terminated(
    cluster: Cluster, teams: dict[str, Cluster], webserver: Webserver
) -> None:
    """With the token of its own pod: neither its own namespace's Secrets, nor another team's, nor Dagster's."""
    (run_id,) = webserver.launch(burst(A, 1, seconds=120))
    pod = pod_of(teams[A], run_id)
    for namespace in (teams[A].namespace, teams[B].namespace, cluster.namespace):
        answer = teams[A].kubectl("exec", pod, "--", "python", "-c", ASK_FOR_SECRETS, namespace)
        assert answer.strip() == "403", namespace
    wait_until("the run has started", lambda: webserver.runs([run_id])[0]["status"] == "STARTED", every=1)
    assert webserver.ask(TERMINATE, id=run_id)["__typename"] == "TerminateRunSuccess"
    (run,) = wait_for_end(webserver, [run_id])
    assert run["status"] == "CANCELED"
    wait_until("its Job is gone", lambda: not teams[A].items("jobs", f"dagster/run-id={run_id}"), every=1)


@pytest.mark.parametrize(
    ("verb", "resource"), [("get", "secrets"), ("create", "jobs"), ("create", "pods"), ("list", "pods")]
)
def test_the_runs_account_has_no_rights(
    teams: dict[str, Cluster], verb: str, resource: str, deployment: Deployment
) -> None:
    """Neither in its own namespace nor in another one."""
    account = f"--as=system:serviceaccount:{teams[A].namespace}:{RUNS_ACCOUNT}"
    for there in (*teams.values(), deployment.cluster):
        assert there.kubectl("auth", "can-i", verb, resource, account, check=False).strip().endswith("no")


def test_the_launcher_has_no_more_rights_than_it_needs(teams: dict[str, Cluster], deployment: Deployment) -> None:
    """It creates Jobs where runs are; it reads no Secret and creates no pod."""
    account = f"--as=system:serviceaccount:{deployment.cluster.namespace}:dagster"
    for there in (*teams.values(), deployment.cluster):

        def may(verb: str, resource: str, there: Cluster = there) -> str:
            return there.kubectl("auth", "can-i", verb, resource, account, check=False).split()[-1]

        assert may("create", "jobs") == "yes"
        assert [may("get", "secrets"), may("create", "pods"), may("update", "jobs")] == ["no", "no", "no"]


def test_a_full_quota_delays_a_run(teams: dict[str, Cluster], webserver: Webserver) -> None:
    """Its Job waits for room, which Kubernetes looks for again and again; here there is room for one pod."""
    quota = '--patch={"spec": {"hard": {"pods": "1"}}}'
    teams[B].kubectl("delete", "jobs", "--all", "--wait=true")
    wait_until("no pod is left", lambda: not teams[B].items("pods"), every=1)
    teams[B].kubectl("patch", "resourcequota", "runs", "--type=merge", quota)
    run_ids = webserver.launch(burst(B, 2))
    wait_until(
        "Kubernetes has refused a pod",
        lambda: "exceeded quota" in teams[B].kubectl("get", "events", "--output", "jsonpath={.items[*].message}"),
        every=2,
    )
    runs = wait_for_end(webserver, run_ids, seconds=600)
    log.info("with a quota for one pod: %s", sorted(run["status"] for run in runs))
    assert "SUCCESS" in [run["status"] for run in runs]


def test_no_container_can_write_to_its_image(deployment: Deployment) -> None:
    """The root file system is read-only, /tmp isn't."""
    for workload in (
        "deployment/dagster-daemon",
        "deployment/dagster-dagster-webserver",
        f"deployment/{RUNS_ACCOUNT[:-16]}{A}",
    ):
        script = "touch /tmp/x && (touch /opt/dagster/x || echo refused) 2>&1"
        answer = deployment.cluster.kubectl("exec", workload, "--", "sh", "-c", script)
        assert "Read-only file system" in answer, workload
