"""The release and the overlays as Kubernetes gets them."""

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.chart import RELEASE, ROOT, VALUES, chart_arguments

OVERLAYS = ROOT / "deploy" / "overlays"
NAMESPACE = "dagster"


def values_of(overlay: str) -> list[Path]:
    """The Helm values of an overlay: none or one file."""
    return sorted((OVERLAYS / overlay).glob("values.yaml"))


def manifests_of(overlay: str) -> list[dict[str, Any]]:
    """The Kubernetes objects that an overlay adds beside the release."""
    files = [
        file
        for folder in ("manifests", "namespaces")
        for file in sorted((OVERLAYS / overlay / folder).glob("*.yaml"))
    ]
    return [found for file in files for found in yaml.safe_load_all(file.read_text()) if found]


def rendered(*overlays: str, settings: Iterable[str] = ()) -> list[dict[str, Any]]:
    """The Kubernetes objects of the release with overlays, as `make deploy` gets them, by the chart of CHART.

    Args:
        overlays: Their names, in the order in which Helm gets their values.
        settings: More values, as `path=value`.
    """
    files = [VALUES, *(file for overlay in overlays for file in values_of(overlay))]
    post_renderers = [file for overlay in overlays for file in (OVERLAYS / overlay).glob("post-renderer")]
    answer = subprocess.run(
        [
            "helm",
            "template",
            RELEASE,
            *chart_arguments(os.environ["CHART"]),
            f"--namespace={NAMESPACE}",
            "--skip-schema-validation",
            # As every cluster of today says; Helm alone assumes only its own.
            "--api-versions=networking.k8s.io/v1/Ingress",
            *(f"--values={file}" for file in files),
            *(f"--set={setting}" for setting in settings),
            *(f"--post-renderer={file}" for file in post_renderers),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return [found for found in yaml.safe_load_all(answer.stdout) if found]


def one(objects: Iterable[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The object of a kind and name."""
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def instance_of(objects: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The release's dagster.yaml."""
    found: dict[str, Any] = yaml.safe_load(one(objects, "ConfigMap", "dagster-instance")["data"]["dagster.yaml"])
    return found


def container_context_of(objects: Iterable[dict[str, Any]], code_location: str) -> dict[str, Any]:
    """What the code server of a code location tells the run launcher of its runs' pods."""
    server = one(objects, "Deployment", f"dagster-dagster-user-deployments-{code_location}")
    env = {each["name"]: each.get("value") for each in server["spec"]["template"]["spec"]["containers"][0]["env"]}
    found: dict[str, Any] = json.loads(env["DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT"])["k8s"]
    return found
