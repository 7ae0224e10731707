"""`dagster-clt history`."""

import click

from clt_queued_run_coordinator._dagster import run_database
from clt_queued_run_coordinator.cli.instance import open_instance
from clt_queued_run_coordinator.cli.options import output_option
from clt_queued_run_coordinator.cli.output import echo, echo_json, echo_table
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION
from clt_queued_run_coordinator.store import history as changes
from clt_queued_run_coordinator.store.history import HistoryEntry
from clt_queued_run_coordinator.text.formats import timestamp
from clt_queued_run_coordinator.text.tables import Column, TextTable


@click.command()
@click.argument("code_location", metavar="[LOCATION]", required=False)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    default=20,
    show_default=True,
    help="Show at most this many changes; the last 500 are kept.",
)
@output_option
def history(code_location: str | None, limit: int, output: str) -> None:
    """Show the latest live changes: who changed what, when and why.

    The newest comes first. Without LOCATION it shows the changes of every code location. It includes circuit
    breakers that opened or closed.
    """
    with open_instance() as (instance, _), run_database(instance).connect() as connection:
        entries = [
            entry
            for entry in changes.read(connection)
            if code_location in {None, entry.code_location} or entry.code_location == EVERY_CODE_LOCATION
        ][:limit]
    if output == "json":
        echo_json([entry.as_data() for entry in entries])
    elif entries:
        echo_table(history_table(entries))
    else:
        echo(f"No live changes{f' of {code_location!r}' if code_location else ''} yet.", err=True)


def history_table(entries: list[HistoryEntry]) -> TextTable:
    """A table with a line for each change."""
    columns = [
        Column("WHEN", lambda entry: entry.at, timestamp),
        Column("WHO", lambda entry: entry.by),
        Column("CODE LOCATION", lambda entry: entry.subject),
        Column("CHANGE", lambda entry: entry.what),
        Column("UNTIL", lambda entry: entry.until, timestamp),
        Column("REASON", lambda entry: entry.reason, wraps=True),
    ]
    return TextTable(columns, entries)
