"""Dagster's own pods come before its runs."""

from typing import Any

from tests.overlays.rendering import instance_of, manifests_of, rendered


def classes() -> dict[str, int]:
    """The value of each PriorityClass."""
    return {each["metadata"]["name"]: each["value"] for each in manifests_of("priority")}


def pod_templates(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pods of the release, by the name of what makes them."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in objects
        if each["kind"] in ("Deployment", "StatefulSet")
    }


def test_runs_have_the_class() -> None:
    """The instance's run launcher names it."""
    instance = instance_of(rendered("priority"))
    pod = instance["run_launcher"]["config"]["run_k8s_config"]["pod_spec_config"]
    assert pod["priorityClassName"] in classes()
    assert pod["securityContext"]["runAsNonRoot"] is True  # what deploy/values.yaml has beside it is still there


def test_runs_are_below_pods_without_a_class_and_worth_a_node() -> None:
    """Those have priority 0; below -10 the cluster autoscaler starts no node."""
    assert all(-10 <= value < 0 for value in classes().values())
    assert classes()["dagster-background-runs"] < classes()["dagster-runs"]
    assert {each["preemptionPolicy"] for each in manifests_of("priority")} == {"Never"}


def test_the_chart_gives_its_own_pods_no_class() -> None:
    """Were this to fail, the classes could be simpler."""
    assert not any("priorityClassName" in pod for pod in pod_templates(rendered("priority")).values())


def test_the_post_renderer_gives_every_pod_of_the_release_its_class() -> None:
    """Daemon, webserver, code servers and database; they are otherwise as they were."""
    objects = rendered("system-priority")
    (system,) = manifests_of("system-priority")
    for pod in pod_templates(objects).values():
        assert pod.pop("priorityClassName") == system["metadata"]["name"]

    assert pod_templates(objects) == pod_templates(rendered())
