"""The overlay `login`: no way leads past the proxies, and they alone tell the page who somebody is."""

from typing import Any

import pytest
import yaml

from tests.chart import VALUES
from tests.overlays.rendering import manifests_of, one, rendered
from tests.overlays.selecting import pods_of, selects

OVERLAY = "login"
READS, LAUNCHES = "dagster-dagster-webserver-read-only", "dagster-dagster-webserver"


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    """The release and the manifests."""
    return rendered(OVERLAY) + manifests_of(OVERLAY)


def container(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """A container of the login's pod."""
    pod = one(objects, "Deployment", "dagster-login")["spec"]["template"]["spec"]
    (found,) = [each for each in pod["containers"] if each["name"] == name]
    return dict(found)


def arguments(words: list[str], option: str) -> list[str]:
    """The values of an option of a command."""
    return [word.partition("=")[2] for word in words if word.startswith(f"--{option}=")]


def test_every_ingress_leads_to_the_login(objects: list[dict[str, Any]]) -> None:
    """The chart's own is turned off; each backend is a port that a proxy listens on."""
    ingresses = [each for each in objects if each["kind"] == "Ingress"]
    assert [each["metadata"]["name"] for each in ingresses] == ["dagster-login"]
    service = one(objects, "Service", "dagster-login")["spec"]
    assert selects({"matchLabels": service["selector"]}, pods_of(objects)["dagster-login"])
    for rule in ingresses[0]["spec"]["rules"]:
        (path,) = rule["http"]["paths"]
        backend = path["backend"]["service"]
        assert backend["name"] == "dagster-login"
        (port,) = [each for each in service["ports"] if each["name"] == backend["port"]["name"]]
        proxy = container(objects, port["targetPort"])
        (listening,) = proxy["ports"]
        assert listening["containerPort"] == port["port"]
        assert arguments(proxy["args"], "http-address") == [f"0.0.0.0:{port['port']}"]
        assert arguments(proxy["args"], "redirect-url") == [f"https://{rule['host']}/oauth2/callback"]


def test_only_the_platform_group_gets_to_the_webserver_that_launches(objects: list[dict[str, Any]]) -> None:
    """Everybody else gets to the read-only one, by the names and ports of the chart's Services."""
    ways = {
        name: (arguments(proxy["args"], "upstream")[0], arguments(proxy["args"], "allowed-group"))
        for name in ("everybody", "platform")
        for proxy in [container(objects, name)]
    }
    assert ways["everybody"] == (f"http://{READS}:3000/", [])
    assert ways["platform"] == (f"http://{LAUNCHES}:3000/", ["data-platform"])
    for webserver, is_read_only in ((READS, True), (LAUNCHES, False)):
        assert one(objects, "Service", webserver)["spec"]["ports"][0]["port"] == 3000
        pod = one(objects, "Deployment", webserver)["spec"]["template"]["spec"]
        assert ("--read-only" in pod["containers"][0]["command"][-1]) == is_read_only


def test_the_page_believes_only_the_proxies_of_its_pod(objects: list[dict[str, Any]]) -> None:
    """It listens on the pod's loopback alone, under the path and with the headers that the proxies use."""
    page = container(objects, "page")["command"]
    assert arguments(page, "host") == arguments(page, "trusted-proxy") == ["127.0.0.1"]
    address = f"http://127.0.0.1:{arguments(page, 'port')[0]}{arguments(page, 'path-prefix')[0]}/"
    for name in ("everybody", "platform"):
        assert arguments(container(objects, name)["args"], "upstream")[1:] == [address]
    assert arguments(page, "user-header") == ["X-Forwarded-User"]
    assert arguments(page, "groups-header") == ["X-Forwarded-Groups"]
    assert arguments(page, "platform-group") == arguments(container(objects, "platform")["args"], "allowed-group")


def test_the_pages_image_is_the_webservers() -> None:
    """Whatever version is deployed: the chart fills it in."""
    objects = rendered(OVERLAY, settings=["dagsterWebserver.image.tag=2.3.4"])
    webserver = one(objects, "Deployment", LAUNCHES)["spec"]["template"]["spec"]["containers"][0]
    assert container(objects, "page")["image"] == webserver["image"]
    assert webserver["image"].endswith(":2.3.4")


def test_the_deployments_own_objects_stay() -> None:
    """Helm replaces the list, so the overlay begins with what deploy/values.yaml has there."""
    own = yaml.safe_load(VALUES.read_text())["extraManifests"]
    objects = rendered(OVERLAY)
    assert [one(objects, each["kind"], each["metadata"]["name"])["spec"] for each in own] == [
        each["spec"] for each in own
    ]


def test_only_the_login_may_open_a_connection_to_a_webserver(objects: list[dict[str, Any]]) -> None:
    """The policy means both webservers, lets in the pod of the login, and no other."""
    (policy,) = [each["spec"] for each in objects if each["metadata"]["name"] == "dagster-behind-login"]
    pods = pods_of(objects)
    assert {name for name, labels in pods.items() if selects(policy["podSelector"], labels)} == {READS, LAUNCHES}
    (rule,) = policy["ingress"]
    (client,) = rule["from"]
    assert [name for name, labels in pods.items() if selects(client["podSelector"], labels)] == ["dagster-login"]


def test_both_webservers_reach_the_code_servers_with_the_overlay_network_policy() -> None:
    """Each webserver loads them."""
    (policy,) = [
        each["spec"]
        for each in manifests_of("network-policy")
        if each["metadata"]["name"] == "dagster-code-servers"
    ]
    (client,) = policy["ingress"][0]["from"]
    pods = pods_of(rendered(OVERLAY))
    assert {READS, LAUNCHES} <= {name for name, labels in pods.items() if selects(client["podSelector"], labels)}
