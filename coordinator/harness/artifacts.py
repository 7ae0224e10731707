"""Where the logs of a failed test are kept."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.system import LOGS, ROOT

ARTIFACTS = ROOT / "artifacts"


@contextmanager
def kept_if_a_test_fails(request: pytest.FixtureRequest, home: Path) -> Iterator[Path]:
    """A DAGSTER_HOME to be; where a test fails meanwhile, its logs are kept in artifacts/."""
    failed_before = request.session.testsfailed
    yield home
    if request.session.testsfailed > failed_before and (home / LOGS).exists():
        kept = ARTIFACTS / re.sub(r"\W+", "-", request.node.name)
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(home / LOGS, kept)
