"""Fixtures of the tests that start programs."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.system import LOGS, ROOT

ARTIFACTS = ROOT / "artifacts"


@pytest.fixture(scope="module")
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A DAGSTER_HOME to be; where a test of the module fails, its logs are kept in artifacts/."""
    directory = tmp_path_factory.mktemp("system") / "home"
    failed_before = request.session.testsfailed
    yield directory
    if request.session.testsfailed > failed_before and (directory / LOGS).exists():
        kept = ARTIFACTS / re.sub(r"\W+", "-", request.node.name)
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(directory / LOGS, kept)
