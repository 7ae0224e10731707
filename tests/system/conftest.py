"""Fixtures of the tests that start programs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.artifacts import kept_if_a_test_fails


@pytest.fixture
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A DAGSTER_HOME to be."""
    with kept_if_a_test_fails(request, tmp_path / "home") as home:
        yield home
