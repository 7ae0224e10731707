"""Tables for a terminal of any width."""

from dataclasses import dataclass
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from clt_queued_run_coordinator.text.safe import LONGEST_CELL, safe

ROOM_FOR_TEXT = 20
"""The least width, in columns, of text that may wrap."""


class PlainTable(Table):
    """A table whose cells are plain text: rich reads no markup in them."""

    def add_row(self, *cells: object, **options: Any) -> None:
        """Add a row."""
        super().add_row(*(Text(safe(cell, LONGEST_CELL)) for cell in cells), **options)


def new_table() -> PlainTable:
    """An empty table with a line below the headings."""
    return PlainTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


@dataclass(frozen=True)
class Uncut:
    """A table that keeps its numbers and names whole on a terminal that is too narrow for it.

    Rich would cut them off. Print it with `crop=False`, and the terminal wraps the lines instead.
    """

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the table as wide as it has to be."""
        unlimited = options.update(width=10_000)
        width = console.measure(self.table, options=unlimited).maximum
        for column in self.table.columns:
            if not column.no_wrap:
                longest = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
                width -= max(0, longest - ROOM_FOR_TEXT)
        yield from console.render(self.table, options.update(width=max(width, options.max_width)))
