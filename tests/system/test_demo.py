"""The demo, as `make demo` starts it."""

import subprocess
import sys

import pytest

from harness.system import ROOT


@pytest.mark.timeout(1200)
def test_the_demo_succeeds() -> None:
    """Every run succeeds, every limit holds and is reached, and the exit code says so."""
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--runs", "4", "--seconds", "4"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 runs succeeded" in done.stdout
