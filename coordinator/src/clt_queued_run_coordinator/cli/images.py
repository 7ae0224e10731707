"""`dagster-clt images`."""

from dataclasses import asdict

import click

from clt_queued_run_coordinator.cli.instance import open_any_instance
from clt_queued_run_coordinator.cli.options import output_option
from clt_queued_run_coordinator.cli.output import echo, echo_json, echo_table
from clt_queued_run_coordinator.operate import images as in_use
from clt_queued_run_coordinator.text.tables import Column, TextTable


@click.command()
@output_option
def images(output: str) -> None:
    """Show the images that queued runs and runs in progress still use.

    A run keeps the image that its code server had when the run was created. So before the coordinator is switched,
    no image without this package may be left here. Works with any run coordinator.
    """
    with open_any_instance() as instance:
        found = in_use.read(instance)
    if output == "json":
        echo_json([asdict(line) for line in found])
    elif found:
        echo_table(TextTable(_COLUMNS, found))
    else:
        echo("No run is queued or in progress.", err=True)


_COLUMNS = [
    Column("IMAGE", lambda line: line.image),
    Column("CODE LOCATION", lambda line: line.code_location),
    Column("QUEUED", lambda line: line.queued, str, justify="right"),
    Column("IN PROGRESS", lambda line: line.in_progress, str, justify="right"),
]
