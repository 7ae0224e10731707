"""What the daemon says of a dagster.yaml that it can't work with."""

from pathlib import Path
from typing import Any

import pytest
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from harness.system import System

MODULE = CLTQueuedRunCoordinator.__module__
CLASS = CLTQueuedRunCoordinator.__name__


def configured(**options: Any) -> dict[str, Any]:
    """The coordinator with some options."""
    return {"module": MODULE, "class": CLASS, "config": options}


@pytest.mark.parametrize(
    ("run_coordinator", "message"),
    [
        pytest.param(
            configured(max_runs=3),
            'Received unexpected config entry "max_runs" at the root. Expected: "{',
            id="unknown option",
        ),
        pytest.param(
            configured(code_location_limits={"location": {"code-location-a": 1}}),
            'Received unexpected config entry "location" at path root:code_location_limits.',
            id="unknown key of code_location_limits",
        ),
        pytest.param(
            configured(max_concurrent_runs="many"),
            'Invalid scalar at path root:max_concurrent_runs. Value "many"',
            id="max_concurrent_runs is not a number",
        ),
        pytest.param(
            configured(code_location_limits={"default": "many"}),
            'Invalid scalar at path root:code_location_limits:default. Value "many"',
            id="default is not a number",
        ),
        pytest.param(
            configured(code_location_limits={"locations": {"code-location-a": "many"}}),
            "Invalid scalar at path root:code_location_limits:locations:'code-location-a':value. Value \"many\"",
            id="limit is not a number",
        ),
        pytest.param(
            configured(code_location_limits={"default": -1}),
            "code_location_limits.default is -1; it must be a whole number of runs, 0 or more.",
            id="default is negative",
        ),
        pytest.param(
            {"module": "clt_queued_run_coordinater.coordinator", "class": CLASS},
            "Couldn't import module clt_queued_run_coordinater.coordinator",
            id="module misspelt",
        ),
        pytest.param(
            {"module": MODULE, "class": "CLTQueuedRunCoordinater"},
            "Couldn't find class CLTQueuedRunCoordinater in module",
            id="class misspelt",
        ),
    ],
)
def test_the_daemon_stops_at_start(tmp_path: Path, run_coordinator: dict[str, Any], message: str) -> None:
    """The daemon ends with an error that names the key and the value."""
    daemon = System(tmp_path / "home", {"run_coordinator": run_coordinator}).daemon
    daemon.start()
    try:
        assert daemon.wait(180) == 1
    finally:
        daemon.stop()
    assert message in daemon.output()
