"""Rendering takes Helm and the chart."""

import os
import shutil

import pytest


@pytest.fixture(scope="session", autouse=True)
def chart() -> str:
    """What CHART says; without it or Helm every test is skipped."""
    if not os.environ.get("CHART"):
        pytest.skip("CHART isn't set: the Dagster chart: a directory, an archive, or a version of dagster/dagster")
    if not shutil.which("helm"):
        pytest.skip("helm isn't installed")
    return os.environ["CHART"]
