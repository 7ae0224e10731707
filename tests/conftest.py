"""Fixtures that several folders of tests share: programs that may not be installed."""

import shutil

import pytest


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' own checks; the test is skipped where it isn't installed."""
    return _installed("promtool", "prometheus")


@pytest.fixture(scope="session")
def prometheus() -> str:
    """Prometheus; the test is skipped where it isn't installed."""
    return _installed("prometheus", "prometheus")


@pytest.fixture(scope="session")
def podman() -> str:
    """Podman, whose version podman-compose asks for first; the test is skipped where it isn't installed."""
    return _installed("podman", "podman")


def _installed(program: str, package: str) -> str:
    found = shutil.which(program)
    if not found:
        pytest.skip(f"{program} is not installed; on Debian: apt-get install {package}")
    return found
