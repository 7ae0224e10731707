"""Runs the commands as `python -m clt_queued_run_coordinator.cli`."""

from clt_queued_run_coordinator.cli import main

main()
