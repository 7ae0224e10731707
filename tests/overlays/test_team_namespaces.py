"""A namespace for each team's runs."""

from typing import Any

import yaml

from tests.chart import location_names
from tests.overlays.rendering import container_context_of, manifests_of, one, rendered

DEPLOYMENT = "dagster-user-deployments.deployments[0]"


def of(kind: str) -> list[dict[str, Any]]:
    """The manifests of a kind."""
    return [each for each in manifests_of("team-namespaces") if each["kind"] == kind]


def test_runs_go_to_the_namespace_that_the_code_location_names() -> None:
    """The code server tells it to the launcher; the code server itself stays."""
    settings = [f"{DEPLOYMENT}.deploymentNamespace=dagster-team-a"]
    objects = rendered("team-namespaces", settings=settings)
    context = container_context_of(objects, location_names()[0])
    assert context["namespace"] == "dagster-team-a"
    assert context["service_account_name"] in [each["metadata"]["name"] for each in of("ServiceAccount")]
    server = one(objects, "Deployment", f"dagster-dagster-user-deployments-{location_names()[0]}")
    assert server["metadata"].get("namespace") in (None, "dagster")


def test_each_namespace_has_all_that_runs_need() -> None:
    """A quota, requests for pods that ask for nothing, the runs' account and the launcher's rights."""
    kinds = ("ResourceQuota", "LimitRange", "ServiceAccount", "Role", "RoleBinding")
    for namespace in [each["metadata"]["name"] for each in of("Namespace")]:
        for kind in kinds:
            assert namespace in [each["metadata"]["namespace"] for each in of(kind)], kind


def test_the_teams_differ_by_their_names_alone() -> None:
    """So either file can be copied for a third team."""
    text = [
        yaml.safe_dump_all([e for e in manifests_of("team-namespaces") if f"team-{t}" in str(e)]) for t in "ab"
    ]
    assert text[0].replace("team-a", "team-b") == text[1]
