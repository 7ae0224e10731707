"""The demos, as `make demo` and `make demo-fair` start them."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from harness.system import ROOT
from harness.waiting import wait_until

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "coordinator")}
"""The harness lies there."""


@pytest.mark.timeout(1200)
def test_the_demo_succeeds() -> None:
    """Every run succeeds, every limit holds and is reached, the chart shows it and the exit code says so."""
    # One more run of each code location than the higher limit, so that both could be exceeded.
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--runs", "4", "--seconds", "1"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 runs succeeded" in done.stdout
    assert "code-location-a, limit 2\n2 │" in done.stdout
    assert "code-location-b, limit 3\n3 │" in done.stdout


def test_ctrl_c_stops_all_that_was_started() -> None:
    """No process is left, and no traceback is shown."""
    with subprocess.Popen(
        [sys.executable, "-m", "demo.fair"],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as demo:
        program = psutil.Process(demo.pid)
        # The webserver is started last.
        wait_until(
            "the webserver was started",
            lambda: any("dagster_webserver" in child.cmdline() for child in program.children()),
        )
        started = program.children(recursive=True)
        demo.send_signal(signal.SIGINT)
        output, _ = demo.communicate(timeout=120)
    assert demo.returncode == 128 + signal.SIGINT, output
    assert "Stopping what was started" in output
    assert "Traceback" not in output
    assert len(started) >= 4
    assert not psutil.wait_procs(started, timeout=30)[1]
