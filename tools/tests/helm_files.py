"""Values and a small chart for the tests of the checks on Helm values."""

import json
import textwrap
from pathlib import Path

from clt_queued_run_coordinator.helm.check import findings_in_values

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

NO_CHART = "keys that the chart doesn't know: no chart is named"

_IMAGE = {"type": "object", "properties": {"repository": {}, "tag": {}, "pullPolicy": {}}}
_KUBERNETES = {"$ref": "https://kubernetes.example/Probe", "properties": {"enabled": {"type": "boolean"}}}
_CHART_FILES = {
    "Chart.yaml": "name: dagster\nversion: 1.0.0\n",
    "values.schema.json": json.dumps(
        {
            "type": "object",
            "additionalProperties": True,
            "properties": {
                "dagsterWebserver": {"$ref": "#/$defs/Webserver"},
                "dagsterDaemon": {
                    "type": "object",
                    "properties": {"image": {"$ref": "#/$defs/Image"}, "runCoordinator": {"type": "object"}},
                },
                "runLauncher": {"anyOf": [{"type": "object"}, {"type": "null"}]},
            },
            "$defs": {
                "Image": _IMAGE,
                "Webserver": {
                    "properties": {
                        "image": {"$ref": "#/$defs/Image"},
                        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                        "startupProbe": _KUBERNETES,
                    }
                },
            },
        }
    ),
    "values.yaml": "pipelineRun: {image: {repository: a}, env: {}}\nrbacEnabled: true\n",
    "templates/service.yaml": "{{ .Values.flower.service.port }}{{ toYaml $_.Values.pipelineRun.image }}",
    "charts/dagster-user-deployments/Chart.yaml": "name: dagster-user-deployments\n",
    "charts/dagster-user-deployments/values.schema.json": json.dumps(
        {
            "properties": {
                "deployments": {"type": "array", "items": {"$ref": "#/$defs/Deployment"}},
            },
            "$defs": {"Deployment": {"properties": {"name": {}, "image": _IMAGE, "port": {}}}},
        }
    ),
    "charts/dagster-user-deployments/templates/service.yaml": (
        "{{ range $deployment := .Values.deployments }}{{ $deployment.service.annotations }}{{ end }}"
    ),
    "charts/postgresql/Chart.yaml": "name: postgresql\n",
    "charts/postgresql/values.schema.json": json.dumps({"properties": {"postgresqlUsername": {}}}),
}


def write_chart(folder: Path) -> Path:
    """Write a small chart with what Dagster's has: a partial schema, further keys in templates, subcharts."""
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
    return [str(finding).replace(f"{folder}/", "") for finding in report.findings], report.skipped


def options(text: str) -> str:
    """An overlay with options of the coordinator; its first option is in line 6."""
    head = "dagsterDaemon:\n  runCoordinator:\n    config:\n      customRunCoordinator:\n        config:\n"
    return head + textwrap.indent(textwrap.dedent(text), " " * 10)
