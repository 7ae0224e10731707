"""Makes Dagster's own tests importable and puts our coordinator in the place of Dagster's."""

import os
import sys
from typing import Any

import dagster
import pytest
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from dagster._core import run_coordinator
from dagster._core.run_coordinator import queued_run_coordinator
from tests.dagsters_own.sdist import dagsters_tests


class FairQueuedRunCoordinator(CLTQueuedRunCoordinator):
    """Ours with every part of it at work, and limits so high that Dagster's tests never meet them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"code_location_limits": {"default": 1000, "sharing": "fair"}, **options})


def pytest_configure(config: pytest.Config) -> None:
    """Find Dagster's tests before the modules here import them."""
    try:
        sys.path.insert(0, str(dagsters_tests(dagster.__version__)))
    except RuntimeError as error:
        pytest.exit(str(error), returncode=1)
    pytest.register_assert_rewrite("dagster_tests")
    config.addinivalue_line("markers", "flaky: Dagster's own mark; a test that fails is not tried again here")
    # As Dagster's own conftest.py does, which pytest doesn't see from here.
    os.environ["DAGSTER_RECORD_DEFENSIVE_CHECKS"] = "true"


@pytest.fixture(autouse=True, params=[CLTQueuedRunCoordinator, FairQueuedRunCoordinator])
def coordinator_class(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> type[CLTQueuedRunCoordinator]:
    """Ours, found under the names by which Dagster's tests load theirs."""
    ours: type[CLTQueuedRunCoordinator] = request.param
    for module in (run_coordinator, queued_run_coordinator):
        monkeypatch.setattr(module, "QueuedRunCoordinator", ours)
    return ours
