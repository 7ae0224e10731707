"""`dagster-clt probe`."""

import click

from clt_queued_run_coordinator.cli.instance import load_coordinator
from clt_queued_run_coordinator.cli.output import echo


@click.command()
def probe() -> None:
    """Check that this package's run coordinator can be loaded for the instance; for startup probes.

    Dagster loads the coordinator only when it needs it, so a container with a wrong image looks healthy until its
    first run. Another coordinator, which knows none of the limits, would look healthy for ever. Doesn't connect to
    the database.
    """
    echo(f"{type(load_coordinator()).__name__} can be loaded")
