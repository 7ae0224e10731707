"""Everything that the commands print: each line is made safe here, and each table by `text.tables`."""

import json
import sys
from typing import Any

import click
from rich.console import Console, RenderableType

from clt_queued_run_coordinator.text.safe import safe

WIDTH_WITHOUT_TERMINAL = 200
"""The width of a table in a pipe, in columns: wide enough that nothing is cut off."""


class TableConsole(Console):
    """The console that tables are printed to."""

    def __init__(self) -> None:
        # A process that was started with its standard output closed has none.
        is_terminal = sys.stdout is not None and sys.stdout.isatty()
        super().__init__(width=None if is_terminal else WIDTH_WITHOUT_TERMINAL, highlight=False, markup=False)

    def on_broken_pipe(self) -> None:
        """Let the caller know; rich would end the program."""
        raise  # noqa: PLE0704 - rich calls this where it handles the error


def echo(*lines: str, err: bool = False) -> None:
    """Print lines of text, each as one line; `err` prints to standard error."""
    for line in lines:
        click.echo(safe(line), err=err)


def echo_json(data: Any) -> None:
    """Print data as JSON. Its strings are exact, and ASCII."""
    # A backspace's sibling, which JSON alone leaves as it is; it stands only in strings.
    click.echo(json.dumps(data, indent=2).replace("\x7f", "\\u007f"))


def echo_table(table: RenderableType) -> None:
    """Print a table whole, however narrow the terminal is."""
    TableConsole().print(table, crop=False)
