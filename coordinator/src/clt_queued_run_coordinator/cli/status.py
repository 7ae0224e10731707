"""`dagster-clt status`."""

import json
import sys
import time

import click
from rich.console import Console
from rich.live import Live

from clt_queued_run_coordinator.cli.instance import WIDTH_WITHOUT_TERMINAL, read_status, the_instance
from clt_queued_run_coordinator.status.table import status_table


@click.command("status")
@click.option("--watch", is_flag=True, help="Refresh in place until interrupted.")
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Seconds; --watch."
)
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def status(watch: bool, interval: float, output: str) -> None:
    """Show each code location: runs, limit and where it comes from, share, and what it waits for."""
    if watch and output == "json":
        raise click.UsageError("--watch shows a table; leave out --output json.")
    with the_instance() as (instance, coordinator):
        if output == "json":
            click.echo(json.dumps(read_status(instance, coordinator).as_data(), indent=2))
            return
        console = Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)
        table = status_table(read_status(instance, coordinator))
        if not watch:
            console.print(table)
            return
        with Live(table, console=console, auto_refresh=False) as display:
            try:
                while True:
                    time.sleep(interval)
                    display.update(status_table(read_status(instance, coordinator)), refresh=True)
            except KeyboardInterrupt:
                return
