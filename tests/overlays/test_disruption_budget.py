"""The budgets are about the pods that they mean."""

from typing import Any

from tests.overlays.rendering import instance_of, manifests_of, one, rendered
from tests.overlays.selecting import RUN, pods_of, selects


def budget(name: str) -> dict[str, Any]:
    """The spec of a budget."""
    found: dict[str, Any] = one(manifests_of("disruption-budget"), "PodDisruptionBudget", name)["spec"]
    return found


def test_no_run_may_be_evicted() -> None:
    """For pods of Jobs Kubernetes takes only an absolute minAvailable."""
    assert selects(budget("dagster-runs")["selector"], RUN)
    assert budget("dagster-runs")["minAvailable"] >= 1_000_000
    assert "maxUnavailable" not in budget("dagster-runs")


def test_one_of_two_webservers_stays() -> None:
    """The budget leaves one pod to be evicted, or a drain would never end."""
    objects = rendered("disruption-budget")
    webserver = one(objects, "Deployment", "dagster-dagster-webserver")
    assert webserver["spec"]["replicas"] == budget("dagster-webserver")["minAvailable"] + 1
    assert [
        name
        for name, labels in pods_of(objects).items()
        if selects(budget("dagster-webserver")["selector"], labels)
    ] == ["dagster-dagster-webserver"]


def test_autoscalers_leave_runs_alone() -> None:
    """The instance's run launcher has the annotations."""
    objects = rendered("disruption-budget")
    instance = instance_of(objects)
    metadata = instance["run_launcher"]["config"]["run_k8s_config"]["pod_template_spec_metadata"]
    assert metadata["annotations"] == {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "true",
    }
