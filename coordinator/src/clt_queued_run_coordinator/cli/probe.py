"""`dagster-clt probe`."""

from typing import Any

import click

from clt_queued_run_coordinator.cli.opening import OpeningError, load_coordinator
from clt_queued_run_coordinator.cli.output import echo


@click.command()
def probe() -> None:
    """Check that the instance's run coordinator can be loaded; for startup probes.

    Dagster loads the coordinator only when it needs it, so a container with a wrong image looks healthy until its
    first run. Doesn't connect to the database.
    """
    try:
        coordinator: Any = load_coordinator()
    except OpeningError as error:
        raise click.ClickException(str(error)) from error
    echo(f"{type(coordinator).__name__} can be loaded")
