"""The page of the queue on the cluster, asked as the ingress would: its path, its headers, through the Service.

The ingress controller itself isn't there. The pod of a code location stands in for it: it sends to the Service
what a controller would send for the Ingress of the release, and the page trusts its address alone.
"""

import http.client
import inspect
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
import yaml
from harness.launches import A, B
from harness.waiting import wait_until

from tests.chart import VALUES
from tests.e2e.cluster import Cluster
from tests.e2e.command_line import status_of
from tests.e2e.deployment import Deployment
from tests.e2e.runs import burst, histories, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

HOST = "dagster.example.com"
USER, GROUPS = "X-Auth-Request-User", "X-Auth-Request-Groups"
ANN = {USER: "ann", GROUPS: "people,data-platform"}
WAITS_FOR = "waits_for"


def ask() -> None:
    """Send the request that stdin describes, and print its answer; runs in a pod."""
    address, method, path, headers, body = json.load(sys.stdin)
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    json.dump([answer.status, dict(answer.getheaders()), answer.read().decode()], sys.stdout)


PROGRAM = f"import http.client, json, sys\n{inspect.getsource(ask)}\nask()"


@dataclass(frozen=True)
class Answer:
    """What the page answers.

    Attributes:
        status: The status of HTTP.
        headers: By their names in lower case.
        text: The body.
    """

    status: int
    headers: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Proxy:
    """Sends from a pod to the page what an ingress controller sends.

    Attributes:
        cluster: Where the release is.
        pod: The name of the pod.
    """

    cluster: Cluster
    pod: str

    def send(self, address: str, headers: Mapping[str, str] | None = None, **form: str) -> Answer:
        """Send a request for an address under the path of the Ingress; with a form it is a POST."""
        (rule,) = self.cluster.items("ingresses")[0]["spec"]["rules"]
        (page,) = [path for path in rule["http"]["paths"] if path["path"] != "/"]
        service = page["backend"]["service"]
        every = {"Host": rule["host"], "X-Forwarded-Host": rule["host"], "X-Forwarded-Proto": "https"}
        every |= {"X-Forwarded-For": "203.0.113.7"}
        posted = {"Origin": f"https://{rule['host']}", "Content-Type": "application/x-www-form-urlencoded"}
        asked = [
            f"{service['name']}:{service['port']['number']}",
            "POST" if form else "GET",
            page["path"] + address,
            {**every, **(posted if form else {}), **(headers or {})},
            urlencode(form) or None,
        ]
        given = self.cluster.kubectl(
            "exec", "--stdin", self.pod, "--", "python", "-c", PROGRAM, stdin=json.dumps(asked)
        )
        status, found, text = json.loads(given)
        return Answer(status, {name.lower(): value for name, value in found.items()}, text)

    def change(self, headers: Mapping[str, str], step: str = "do", **form: str) -> Answer:
        """Fill in a form as a browser does without script: open it, then post it."""
        opened = self.send(f"/change?{urlencode({'action': form['action']})}", headers)
        token = re.search(r'name="token" value="(\w+)"', opened.text)
        assert token, opened
        cookie = {"Cookie": opened.headers["set-cookie"].partition(";")[0]}
        return self.send("/change", {**headers, **cookie}, **form, token=token[1], step=step)


@pytest.fixture(scope="module", autouse=True)
def read_only(deployment: Deployment, webserver: Webserver) -> None:
    """The values as they are, with the ingress; nothing queued or in progress."""
    deployment.upgrade(more_values={"ingress": {"enabled": True, "dagsterWebserver": {"host": HOST}}})
    unfinished = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
    wait_until("nothing is queued", lambda: not webserver.runs(statuses=unfinished), seconds=300, every=3)


@pytest.fixture(scope="module")
def proxy(cluster: Cluster) -> Proxy:
    """The pod that stands in for the ingress controller."""
    return Proxy(cluster, cluster.pods(A)[0]["metadata"]["name"])


@pytest.fixture(scope="module")
def changeable(cluster: Cluster, deployment: Deployment, proxy: Proxy) -> None:
    """The page lets people change things whom that pod names, as docs/queue-page.md has it."""
    containers = yaml.safe_load(VALUES.read_text())["dagsterWebserver"]["extraContainers"]
    (page,) = [container for container in containers if container["name"] == "page"]
    (address,) = [pod["status"]["podIP"] for pod in cluster.pods(A) if pod["metadata"]["name"] == proxy.pod]
    page["command"] += [
        "--allow-changes",
        f"--user-header={USER}",
        f"--groups-header={GROUPS}",
        f"--trusted-proxy={address}",
        "--platform-group=data-platform",
    ]
    ingress = {"enabled": True, "dagsterWebserver": {"host": HOST}}
    deployment.upgrade(more_values={"ingress": ingress, "dagsterWebserver": {"extraContainers": containers}})


def waits_for(webserver: Webserver, run_id: str) -> str:
    """What Dagster's own list of runs says that a run waits for; empty if nothing is said."""
    (run,) = webserver.runs([run_id])
    found: str = run["tags"].get(WAITS_FOR, "")
    return found


def test_it_stands_under_the_path_of_the_ingress(proxy: Proxy) -> None:
    """With its own addresses under that path, and Dagster's beside it."""
    answer = proxy.send("/")
    assert answer.status == 200
    assert all(f"location?name={name}" in answer.text for name in (A, B))
    addresses = re.findall(r'(?:href|src|action)="(/[^"#]*)"', answer.text)
    assert all(address.startswith("/queue/") or address == "/" for address in addresses), addresses
    assert proxy.send("").headers["location"].endswith("/queue/")
    assert proxy.send("/static/page.js").status == 200


def test_as_it_is_deployed_nothing_can_be_changed(cluster: Cluster, proxy: Proxy) -> None:
    """No form is there, whoever asks."""
    assert "action=pause" not in proxy.send(f"/location?name={A}").text
    assert proxy.send("/change", action="pause", location=A, reason="a test", step="do").status in {404, 405}
    assert status_of(cluster, A)["limit_from"] != "paused"


@pytest.mark.usefixtures("changeable")
def test_whom_the_proxy_does_not_name_can_only_read(cluster: Cluster, proxy: Proxy) -> None:
    """No change is offered, and a form that is posted all the same is refused."""
    page = proxy.send(f"/location?name={A}")
    assert page.status == 200
    assert "action=pause" not in page.text
    assert proxy.change({}, action="pause", location=A, reason="a test").status == 403
    assert proxy.send("/change", action="pause", location=A, reason="a test", step="do").status == 403
    assert status_of(cluster, A)["limit_from"] != "paused"


@pytest.mark.usefixtures("changeable")
def test_headers_from_elsewhere_than_the_proxy_are_refused(cluster: Cluster) -> None:
    """Another pod of the cluster reaches the Service too; it may look, but not say who it is."""
    other = Proxy(cluster, cluster.pods(B)[0]["metadata"]["name"])
    assert other.send("/").status == 200
    assert other.send("/", ANN).status == 403
    answer = other.send("/change", ANN, action="pause", location=A, reason="a test", step="do")
    assert answer.status == 403
    assert status_of(cluster, A)["limit_from"] != "paused"


@pytest.mark.usefixtures("changeable")
def test_a_pause_made_there_holds_and_is_seen_everywhere(
    cluster: Cluster, webserver: Webserver, proxy: Proxy
) -> None:
    """By `dagster-clt status` and in Dagster's own list of runs; no tick starts its runs until it is resumed."""
    pause = {"action": "pause", "location": A, "until": "2h", "reason": "the ledger is moved"}
    preview = proxy.change(ANN, "preview", **pause)
    assert "limit 0 (paused) from the next tick until" in preview.text
    assert status_of(cluster, A)["limit_from"] != "paused"
    assert proxy.change(ANN, **pause).status == 303
    line = status_of(cluster, A)
    told = [line[key] for key in ("limit", "limit_from", "changed_by", "change_reason")]
    assert told == [0, "paused", "ann", "the ledger is moved"]

    (held,) = webserver.launch(burst(A, 1))
    succeeded(wait_for_end(webserver, webserver.launch(burst(B, 2))))  # so there were ticks
    tag = wait_until("Dagster says what it waits for", lambda: waits_for(webserver, held), every=2)
    assert tag.startswith("paused until ")
    (run,) = webserver.runs([held])
    assert run["status"] == "QUEUED"
    assert "is paused by ann" in proxy.send(f"/run?id={held}").text

    done = proxy.change(ANN, action="resume", location=A, reason="it is moved")
    assert (done.status, done.headers["location"]) == (303, f"/queue/location?name={A}")
    runs = wait_for_end(webserver, [held])
    succeeded(runs)
    (found,) = histories(webserver, runs)
    assert found.starts == 1
    assert waits_for(webserver, held) == ""
