"""Values and a small chart for the tests of the checks on Helm values."""

import json
import textwrap
from pathlib import Path

from dagster_deploy_tools.check import findings_in_values

VALUES = """\
dagsterWebserver:
  image: &system {repository: registry.example/system, tag: "2.0.0", pullPolicy: IfNotPresent}
dagsterDaemon:
  image: *system
  runCoordinator:
    enabled: true
    type: CustomRunCoordinator
    config:
      customRunCoordinator:
        module: clt_queued_run_coordinator.coordinator
        class: CLTQueuedRunCoordinator
        config:
          max_concurrent_runs: 30
          dequeue_use_threads: true
          dequeue_num_workers: 4
          tag_concurrency_limits:
            - {key: code_location, value: code-location-a, limit: 10}
            - {key: code_location, value: code-location-b, limit: 20}
runLauncher:
  type: K8sRunLauncher
  config:
    k8sRunLauncher:
      runK8sConfig: {jobSpecConfig: {ttlSecondsAfterFinished: 3600}}
dagster-user-deployments:
  deployments:
    - name: code-location-a
      image: {repository: registry.example/code-location-a, tag: "2.0.0", pullPolicy: IfNotPresent}
      port: 3030
    - name: code-location-b
      image: {repository: registry.example/code-location-b, tag: "2.0.0", pullPolicy: IfNotPresent}
      port: 3030
"""
"""Values in which there is nothing to find."""

OURS = "module: clt_queued_run_coordinator.coordinator, class: CLTQueuedRunCoordinator"
NO_CHART = "keys that the chart doesn't know: no chart is named"

_IMAGE = {
    "type": "object",
    "properties": {"repository": {"type": "string"}, "tag": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
}
_KUBERNETES = {"$ref": "https://kubernetes.example/Probe", "properties": {"enabled": {"type": "boolean"}}}
_SCHEMA = {
    "type": "object",
    "additionalProperties": True,
    "required": ["dagsterDaemon"],
    "properties": {
        "dagsterWebserver": {"$ref": "#/$defs/Webserver"},
        "dagsterDaemon": {
            "type": "object",
            "properties": {
                "image": {"$ref": "#/$defs/Image"},
                "runCoordinator": {"type": "object"},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "runLauncher": {"anyOf": [{"$ref": "#/$defs/RunLauncher"}, {"type": "null"}]},
        "additionalInstanceConfig": {"type": "object"},
        "concurrency": {"type": "object"},
        "flower": {"properties": {"enabled": {}}},
        "ingress": {"properties": {"dagsterWebserver": {"type": "object"}}},
        "dagster-user-deployments": {
            "properties": {
                "enabled": {"type": "boolean"},
                "deployments": {"type": "array", "items": {"$ref": "#/$defs/Deployment"}},
            }
        },
        "postgresql": {"properties": {"enabled": {"type": "boolean"}, "image": {"$ref": "#/$defs/Image"}}},
    },
    "$defs": {
        "Image": _IMAGE,
        "Deployment": {"properties": {"name": {}, "image": {"$ref": "#/$defs/Image"}, "port": {}}},
        "RunLauncher": {
            "additionalProperties": False,
            "properties": {
                "type": {"enum": ["K8sRunLauncher", "CustomRunLauncher"]},
                "config": {"type": "object"},
            },
            "allOf": [
                {"if": {"properties": {"type": {"const": "CustomRunLauncher"}}}, "then": {"required": ["config"]}}
            ],
        },
        "Webserver": {
            "type": "object",
            "properties": {
                "image": {"$ref": "#/$defs/Image"},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "workspace": {"type": "object"},
                "startupProbe": _KUBERNETES,
            },
        },
    },
}
_DEFAULTS = """\
dagsterWebserver: {image: {repository: docker.io/dagster/dagster-celery-k8s, tag: null, pullPolicy: Always}}
dagsterDaemon:
  image: {repository: docker.io/dagster/dagster-celery-k8s, tag: null, pullPolicy: Always}
  runCoordinator: {enabled: true, type: QueuedRunCoordinator, config: {customRunCoordinator: {}}}
dagster-user-deployments:
  enabled: true
  deployments: [{name: k8s-example-user-code-1, image: {pullPolicy: Always}, service: {annotations: {}}}]
pipelineRun: {image: {repository: a}, env: {}}
rbacEnabled: true
additionalInstanceConfig: {}
"""
_CHART_FILES = {
    "Chart.yaml": "name: dagster\ndependencies: [{name: dagster-user-deployments}, {name: postgresql}]\n",
    "values.schema.json": json.dumps(_SCHEMA),
    "values.yaml": _DEFAULTS,
    "charts/dagster-user-deployments/Chart.yaml": "name: dagster-user-deployments\n",
    "charts/dagster-user-deployments/values.yaml": "dagsterHome: /opt/dagster\ndeployments: []\n",
    "charts/postgresql/Chart.yaml": "name: postgresql\n",
    "charts/postgresql/values.yaml": "service: {port: 5432}\n",
}


def write_chart(folder: Path) -> Path:
    """Write a small chart with what Dagster's has: a partial schema, further keys in default values, subcharts."""
    for name, content in _CHART_FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder


def check(folder: Path, *files: str, chart: Path | None = None) -> tuple[list[str], list[str]]:
    """The lines of the findings on files with these texts, named 0.yaml, 1.yaml and so on, and the skipped."""
    paths = [folder / f"{index}.yaml" for index in range(len(files))]
    for path, text in zip(paths, files, strict=True):
        path.write_text(textwrap.dedent(text))
    report = findings_in_values(paths, chart)
    return [str(finding).replace(f"{folder}/", "") for finding in report.findings], [
        line.replace(f"{folder}/", "") for line in report.skipped
    ]


def options(text: str) -> str:
    """An overlay with options of the coordinator; its first option is in line 6."""
    head = "dagsterDaemon:\n  runCoordinator:\n    config:\n      customRunCoordinator:\n        config:\n"
    return head + textwrap.indent(textwrap.dedent(text), " " * 10)
