"""Runs `dagster-clt` in this process."""

from typing import Any

from click.testing import CliRunner


def new_runner() -> CliRunner:
    """A runner that keeps standard output and standard error apart."""
    apart: dict[str, Any] = {"mix_stderr": False}
    try:
        return CliRunner(**apart)
    except TypeError:  # click 8.2, which Dagster takes from 1.11 on, keeps them apart by itself
        return CliRunner()
