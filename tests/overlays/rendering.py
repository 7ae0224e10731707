"""The release and the overlays as Kubernetes gets them."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.deployment import RELEASE, ROOT, VALUES, chart_arguments

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
    """The Kubernetes objects of the release with overlays, by the chart that CHART names.

    Args:
        overlays: Their names, in the order in which Helm gets their values.
        settings: More values, as `path=value`.
    """
    files = [VALUES, *(file for overlay in overlays for file in values_of(overlay))]
    answer = subprocess.run(
        [
            "helm",
            "template",
            RELEASE,
            *chart_arguments(os.environ["CHART"]),
            f"--namespace={NAMESPACE}",
            "--skip-schema-validation",
            *(f"--values={file}" for file in files),
            *(f"--set={setting}" for setting in settings),
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
