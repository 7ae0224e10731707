"""The alert rules, and the files for the Prometheus operator that are written from the plain ones."""

import json
import re
import subprocess
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from clt_queued_run_coordinator.daemon.state import LastTick
from clt_queued_run_coordinator.metrics.scrape import Scrape
from clt_queued_run_coordinator.metrics.server import QueueCollector
from clt_queued_run_coordinator.operate.status import CodeLocationStatus, GroupStatus, Status
from prometheus_client.metrics_core import Metric

from scripts.operator_files import FOLDER, operator_files

ROOT = Path(__file__).parents[2]

RULES = FOLDER / "rules.yaml"
TESTS = Path(__file__).with_name("rules_test.yaml")


def _alerts(groups: list[dict[str, Any]]) -> set[str]:
    return {rule["alert"] for group in groups for rule in group["rules"]}


def test_each_alert_fires_where_it_should_and_not_where_it_should_not(promtool: str) -> None:
    """By Prometheus' own test of rules."""
    tested = subprocess.run(
        [promtool, "test", "rules", TESTS], capture_output=True, text=True, check=False, timeout=300
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_each_alert_is_tested_firing_and_not_firing() -> None:
    """None is left out of that test."""
    asked = [
        (case["alertname"], bool(case.get("exp_alerts")))
        for test in yaml.safe_load(TESTS.read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    alerts = _alerts(yaml.safe_load(RULES.read_text())["groups"])
    assert {name for name, fires in asked if fires} == alerts
    assert {name for name, fires in asked if not fires} == alerts


def test_the_operators_files_are_those_that_are_written_from_the_plain_ones() -> None:
    """`.venv/bin/python -m scripts.operator_files` writes them."""
    for file, content in operator_files().items():
        assert file.read_text() == content
    rule = yaml.safe_load((FOLDER / "operator" / "prometheus-rule.yaml").read_text())
    assert rule["kind"] == "PrometheusRule"
    assert rule["spec"] == yaml.safe_load(RULES.read_text())
    dashboard = yaml.safe_load((FOLDER / "operator" / "dashboard.yaml").read_text())
    assert dashboard["kind"] == "ConfigMap"
    assert dashboard["metadata"]["labels"] == {"grafana_dashboard": "1"}
    (content,) = dashboard["data"].values()
    assert json.loads(content) == json.loads((FOLDER / "dashboard.json").read_text())


def test_the_operator_scrapes_the_port_that_the_values_open() -> None:
    """The container, its port and the labels of the daemon's pod in Dagster's chart."""
    monitor = yaml.safe_load((FOLDER / "operator" / "pod-monitor.yaml").read_text())
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    values = yaml.safe_load((FOLDER.parent / "values.yaml").read_text())
    containers = values["dagsterDaemon"]["extraContainers"]
    assert endpoint["port"] in [port["name"] for container in containers for port in container["ports"]]
    assert monitor["spec"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "dagster",
        "component": "dagster-daemon",
    }


def test_each_metric_is_documented_and_nothing_else_is_asked_for() -> None:
    """In docs/monitoring.md, the dashboard and the rules."""
    exposed = {family.name + ("_total" if family.type == "counter" else "") for family in _families()}
    documented = (ROOT / "docs" / "monitoring.md").read_text()
    of_groups = {name for name in exposed if name.startswith("dagster_clt_group_")}
    for name in exposed - of_groups:
        assert f"| `{name}` |" in documented
    for name in of_groups:
        assert f"`{name}`" in documented or f"`{name.removeprefix('dagster_clt_group')}`" in documented
    asked = re.findall(r"dagster_clt_\w+", RULES.read_text() + (FOLDER / "dashboard.json").read_text())
    assert {name.removesuffix("_bucket") for name in asked} <= exposed


def _families() -> list[Metric]:
    """Every metric that there can be: of one code location and group where runs count, and one where slots do."""
    line = CodeLocationStatus("a", 1, 1, 1, "configuration", None, None, 1.0, 1, 1.0, "", 1.0, max_queued=1)
    group = GroupStatus("team", ["a"], 1, 1, 1, 1, 1.0, 1, 1.0, "")
    in_slots = {"queued_slots": 1, "in_progress_slots": 1}
    lines = [line, replace(line, code_location="b", **in_slots)]  # type: ignore[arg-type]
    groups = [group, replace(group, group="other", **in_slots)]  # type: ignore[arg-type]
    status = Status(1, "fair", 1, 1, 0, lines, "narrowed", groups)
    scrape = Scrape(datetime.now(timezone.utc), status, last_tick=LastTick(1.0, 1.0))
    return list(QueueCollector(lambda: scrape, print).collect())


def test_the_dashboard_can_be_imported_with_any_prometheus() -> None:
    """Each panel has the data source that is chosen, a number and a place of its own."""
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "code_location"]
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"] == chosen
            assert all(target["datasource"] == chosen for target in panel["targets"])
