"""The overlay `json-logs`: the programs are told to log JSON."""

import os
from pathlib import Path

import pytest

from tests.overlays.rendering import one, rendered


def test_daemon_and_webserver_log_json() -> None:
    """By the option of Dagster's own commands."""
    values = Path(os.environ["CHART"]) / "values.yaml"
    if values.exists() and "logFormat" not in values.read_text():
        pytest.skip("this chart has no logFormat")
    objects = rendered("json-logs")
    for name in ("dagster-daemon", "dagster-dagster-webserver"):
        container = one(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
        assert "--log-format json" in " ".join([*container.get("command", []), *container.get("args", [])])
