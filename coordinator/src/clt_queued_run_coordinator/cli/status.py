"""`dagster-clt status`."""

import time

import click
from rich.live import Live

from clt_queued_run_coordinator.cli.instance import open_instance, read_status
from clt_queued_run_coordinator.cli.options import interval_option, output_option
from clt_queued_run_coordinator.cli.output import TableConsole, echo_json, echo_table
from clt_queued_run_coordinator.cli.status_table import status_table


@click.command("status")
@click.option("--watch", is_flag=True, help="Refresh the table in place until Ctrl-C.")
@interval_option("How often to refresh; only with --watch.")
@output_option
def status(watch: bool, interval: float, output: str) -> None:
    """Show each code location's runs and limit, and what it is waiting for.

    Also shows where the limit comes from, live changes with their end and reason and, with fair sharing, each code
    location's share and its credit: by how much it has had less than its share lately.
    """
    if watch and output == "json":
        raise click.UsageError("--watch shows a table; leave out --output json.")
    with open_instance() as (instance, coordinator):
        if output == "json":
            echo_json(read_status(instance, coordinator).as_data())
            return
        table = status_table(read_status(instance, coordinator))
        if not watch:
            echo_table(table)
            return
        with Live(table, console=TableConsole(), auto_refresh=False) as display:
            try:
                while True:
                    time.sleep(interval)
                    display.update(status_table(read_status(instance, coordinator)), refresh=True)
            except KeyboardInterrupt:
                return
