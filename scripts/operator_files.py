"""Writes what the Prometheus operator and Grafana's sidecar take from the plain files in `deploy/monitoring`.

`.venv/bin/python -m scripts.operator_files` writes them; a test holds the files to it.
"""

from collections.abc import Mapping
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).parents[1]


FOLDER = ROOT / "deploy" / "monitoring"

_WRITTEN = "# Written by `python -m scripts.operator_files` from {source}; change that one.\n"

_RULE = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: dagster-clt
  labels:
    # kube-prometheus-stack takes what carries the name of its release, unless it is told otherwise.
    release: kube-prometheus-stack
spec:
"""

_DASHBOARD = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: dagster-clt-dashboard
  labels:
    # What the sidecar of Grafana's chart looks for, unless it is told otherwise.
    grafana_dashboard: "1"
data:
  dagster-clt.json: |
"""


def operator_files() -> Mapping[Path, str]:
    """The content of each file, made from the plain ones."""
    rules = (FOLDER / "rules.yaml").read_text()
    dashboard = (FOLDER / "dashboard.json").read_text()
    return {
        FOLDER / "operator" / "prometheus-rule.yaml": _WRITTEN.format(source="rules.yaml")
        + _RULE
        + indent(rules[rules.index("groups:") :], "  "),
        FOLDER / "operator" / "dashboard.yaml": _WRITTEN.format(source="dashboard.json")
        + _DASHBOARD
        + indent(dashboard, "    "),
    }


if __name__ == "__main__":
    for file, content in operator_files().items():
        file.write_text(content)
