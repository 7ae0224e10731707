"""Fixtures of the tests that start programs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.artifacts import kept_if_a_test_fails


@pytest.fixture(scope="module")
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A DAGSTER_HOME to be, for the tests of one module."""
    with kept_if_a_test_fails(request, tmp_path_factory.mktemp("system") / "home") as home:
        yield home
