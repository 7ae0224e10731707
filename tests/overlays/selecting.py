"""Which pods a selector of Kubernetes means."""

from collections.abc import Iterable, Mapping
from typing import Any

from dagster_k8s.utils import get_common_labels

RUN: dict[str, str] = {
    **get_common_labels(),  # type: ignore[no-untyped-call]
    "app.kubernetes.io/component": "run_worker",
}
"""The labels that Dagster gives to the pod of a run, whatever the release is called."""


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector means a pod with these labels; an empty one means every pod."""
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In", expression
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def pods_of(objects: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """The labels of a rendered release's pods, by the name of what makes them; a Job adds its own name."""
    return {
        each["metadata"]["name"]: {
            **each["spec"]["template"]["metadata"].get("labels", {}),
            **({"batch.kubernetes.io/job-name": each["metadata"]["name"]} if each["kind"] == "Job" else {}),
        }
        for each in objects
        if each["kind"] in ("Deployment", "StatefulSet", "Job")
    }
