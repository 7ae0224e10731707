"""Who may talk to whom: the policies over the labels that pods really have."""

import pytest

from tests.chart import location_names
from tests.overlays.rendering import NAMESPACE, manifests_of, rendered
from tests.overlays.selecting import RUN, pods_of, selects

NAMESPACES = {
    NAMESPACE: {"kubernetes.io/metadata.name": NAMESPACE},
    "team-a": {"kubernetes.io/metadata.name": "team-a", "dagster/runs": "true"},
    "monitoring": {"kubernetes.io/metadata.name": "monitoring"},
    "ingress-nginx": {"kubernetes.io/metadata.name": "ingress-nginx"},
    "elsewhere": {"kubernetes.io/metadata.name": "elsewhere"},
}
WEBSERVER, DAEMON, DATABASE = "dagster-dagster-webserver", "dagster-daemon", "dagster-postgresql"
CODE_SERVERS = [f"dagster-dagster-user-deployments-{name}" for name in location_names()]
MIGRATION, RUN_POD, PGBOUNCER, OTHER = f"{WEBSERVER}-instance-migrate", "a run", "pgbouncer", "another pod"

ALLOWED = {
    *((client, NAMESPACE, server, 3030) for client in (WEBSERVER, DAEMON) for server in CODE_SERVERS),
    *((OTHER, "ingress-nginx", WEBSERVER, port) for port in (3000, 3001)),
    (OTHER, "monitoring", DAEMON, 9464),
    *(
        (client, NAMESPACE, server, port)
        for client in (WEBSERVER, DAEMON, *CODE_SERVERS, RUN_POD, MIGRATION)
        for server, port in ((DATABASE, 5432), (PGBOUNCER, 6432))
    ),
    (RUN_POD, "team-a", DATABASE, 5432),
    (RUN_POD, "team-a", PGBOUNCER, 6432),
}
"""Who, from which namespace, opens a connection to whom, at which port."""


@pytest.fixture(scope="module")
def pods() -> dict[str, dict[str, str]]:
    """The labels of each kind of pod."""
    others = {RUN_POD: RUN, PGBOUNCER: {"app.kubernetes.io/name": "pgbouncer"}, OTHER: {"app": "other"}}
    return pods_of(rendered("network-policy", settings=["migrate.enabled=true"])) | others


def allowed(client: dict[str, str], namespace: str, server: dict[str, str], port: int) -> bool:
    """Whether the policies of Dagster's namespace let a connection in."""
    policies = [policy["spec"] for policy in manifests_of("network-policy")]
    about = [policy for policy in policies if selects(policy["podSelector"], server)]
    rules = [rule for policy in about for rule in policy.get("ingress", [])]
    return not about or any(
        port in [each["port"] for each in rule["ports"]]
        and any(
            selects(peer.get("podSelector", {}), client)
            and (
                selects(peer["namespaceSelector"], NAMESPACES[namespace])
                if "namespaceSelector" in peer
                else namespace == NAMESPACE
            )
            for peer in rule["from"]
        )
        for rule in rules
    )


def namespaces_of(pod: str) -> list[str]:
    """Where a kind of pod may be."""
    if pod == OTHER:
        return list(NAMESPACES)
    return [NAMESPACE, "team-a"] if pod == RUN_POD else [NAMESPACE]


def test_what_must_talk_may_and_nothing_else(pods: dict[str, dict[str, str]]) -> None:
    """Every pair of pods, from every namespace, at every port that something listens on."""
    assert {
        (client, namespace, server, port)
        for client in pods
        for namespace in namespaces_of(client)
        for server in pods
        for port in (3000, 3001, 3030, 5432, 6432, 9464)
        if allowed(pods[client], namespace, pods[server], port)
    } == ALLOWED


def test_no_pod_is_without_a_policy(pods: dict[str, dict[str, str]]) -> None:
    """One policy is about every pod and lets nothing in."""
    assert [name for name, labels in pods.items() if allowed(labels, "elsewhere", labels, 22)] == []
