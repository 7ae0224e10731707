"""`dagster-clt probe`."""

from typing import Any

import click

from clt_queued_run_coordinator.opening import OpeningError, load_coordinator


@click.command()
def probe() -> None:
    """Load the instance's run coordinator as daemon, webserver and runs do; for startup probes.

    Dagster loads it lazily, so that a wrong image looks healthy until its first run.
    """
    try:
        coordinator: Any = load_coordinator()
    except OpeningError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{type(coordinator).__name__} can be loaded")
