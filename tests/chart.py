"""Dagster's Helm chart, and the values that this repository gives it."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
VALUES = ROOT / "deploy" / "values.yaml"
RELEASE = "dagster"


def location_names() -> list[str]:
    """The code locations that the values deploy, in their order."""
    deployments = yaml.safe_load(VALUES.read_text())["dagster-user-deployments"]["deployments"]
    return [deployment["name"] for deployment in deployments]


def chart_arguments(chart: str) -> list[str]:
    """How Helm is told the chart: a directory or an archive, or else a version of dagster/dagster."""
    return ["dagster/dagster", "--version", chart] if re.fullmatch(r"\d+\.\d+\.\d+", chart) else [chart]
