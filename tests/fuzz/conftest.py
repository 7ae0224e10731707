"""The number of inputs, in pytest's summary."""

import pytest

from tests.fuzz.tried import TRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many inputs were tried."""
    if TRIED:
        terminalreporter.section("inputs tried")
        for door, inputs in sorted(TRIED.items()):
            terminalreporter.line(f"{inputs:6} {door}")
        terminalreporter.line(f"{TRIED.total():6} in all")
