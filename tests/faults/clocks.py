"""Programs whose clocks go wrong, by libfaketime (the package `libfaketime` of Debian and Ubuntu)."""

from pathlib import Path

import pytest

from demo.process import Process


def set_clock(process: Process, offset: str) -> None:
    """Start a program anew with its clock set forward or back, such as `+10m` or `-10m`.

    Only the time of day differs; the clock that waits and timeouts are measured with stays right.
    """
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        pytest.skip("libfaketime is not installed; install the package libfaketime")
    process.stop()
    process.environment |= {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    process.start()
