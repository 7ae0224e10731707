"""Who may do what in the cluster."""

from typing import Any

from tests.chart import location_names
from tests.overlays.rendering import manifests_of, one, rendered

LAUNCHER = "dagster"


def rules_of(objects: list[dict[str, Any]], account: str) -> list[dict[str, Any]]:
    """The rules of the Roles that are bound to a service account."""
    roles = {each["metadata"]["name"]: each["rules"] for each in objects if each["kind"] == "Role"}
    return [
        rule
        for each in objects
        if each["kind"] == "RoleBinding" and account in [subject["name"] for subject in each["subjects"]]
        for rule in roles[each["roleRef"]["name"]]
    ]


def test_code_servers_and_runs_have_no_rights() -> None:
    """In the deployment as it is: whoever may create a pod may mount any Secret of its namespace."""
    objects = rendered()
    deployment = f"dagster-dagster-user-deployments-{location_names()[0]}"
    pod = one(objects, "Deployment", deployment)["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] != LAUNCHER
    assert rules_of(objects, pod["serviceAccountName"]) == []
    assert rules_of(objects, LAUNCHER) != []


def test_the_charts_role_is_replaced() -> None:
    """With the overlay the launcher may not create pods, nor read Secrets."""
    objects = rendered("least-rights")
    assert [each for each in objects if each["kind"] == "Role"] == []
    rules = rules_of(manifests_of("least-rights"), LAUNCHER)
    allowed = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    assert ("jobs", "create") in allowed
    assert ("pods", "create") not in allowed
    assert not any(resource == "secrets" or verb in ("*", "patch", "update") for resource, verb in allowed)


def test_a_teams_namespace_allows_the_launcher_the_same() -> None:
    """The overlay team-namespaces has the rules of least-rights."""
    rules = rules_of(manifests_of("least-rights"), LAUNCHER)
    for each in manifests_of("team-namespaces"):
        if each["kind"] == "Role":
            assert each["rules"] == rules


def test_every_root_file_system_is_read_only() -> None:
    """All containers of Dagster's own images; each has a /tmp to write to."""
    for each in rendered():
        if each["kind"] != "Deployment":
            continue
        pod = each["spec"]["template"]["spec"]
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, container["name"]
            assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]], container["name"]  # noqa: S108
