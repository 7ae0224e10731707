"""The files that deploy the code locations."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDERS = {file.parent.name for file in (ROOT / "code_locations").glob("*/pyproject.toml")}
"""The code locations, by their folders."""


def values(name: str = "values.yaml") -> Any:
    """Helm values in deploy/."""
    return yaml.safe_load((ROOT / "deploy" / name).read_text())


def deployments() -> list[dict[str, Any]]:
    """The user deployments of the values."""
    found: list[dict[str, Any]] = values()["dagster-user-deployments"]["deployments"]
    return found
