"""Tables for a terminal of any width."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from clt_queued_run_coordinator.text.safe import LONGEST_CELL, safe

ROOM_FOR_TEXT = 20
"""The least width, in columns, of text that may wrap."""


@dataclass(frozen=True)
class Column:
    """A column of a table. Its cells are plain text: rich reads no markup in them.

    Attributes:
        heading: Its heading.
        value: What stands in it, of what a line is about; None for nothing.
        shown: Writes the value.
        justify: To which side it is aligned: numbers to the right.
        wraps: Whether its text may wrap; otherwise it stays whole.
        is_spare: Whether it can be left out where there is no room for it.
    """

    heading: str
    value: Callable[[Any], Any]
    shown: Callable[[Any], str] = str
    justify: Literal["left", "right"] = "left"
    wraps: bool = False
    is_spare: bool = False

    def cell(self, line: Any) -> Text:
        """What stands in a line."""
        value = self.value(line)
        if value is None:
            return Text("-" if self.justify == "right" else "")
        return Text(safe(self.shown(value), LONGEST_CELL))


@dataclass(frozen=True)
class TextTable:
    """A table that keeps its numbers and names whole on a terminal that is too narrow for it.

    Rich would cut them off. Spare columns are left out, the last one first, and named below. If that isn't enough,
    print it with `crop=False`, and the terminal wraps the lines.
    """

    columns: Sequence[Column]
    lines: Sequence[Any]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the table as wide as it has to be."""
        shown, left_out = list(self.columns), list[str]()
        while (width := self._width(shown, console, options)) > options.max_width:
            spare = [column for column in shown if column.is_spare]
            if not spare:
                break
            shown.remove(spare[-1])
            left_out.insert(0, spare[-1].heading)
        yield from console.render(self._of(shown), options.update(width=max(width, options.max_width)))
        if left_out:
            yield Text(f"(a wider terminal shows {', '.join(left_out)} too)")

    def _of(self, columns: Sequence[Column]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        for column in columns:
            table.add_column(column.heading, justify=column.justify, no_wrap=not column.wraps, overflow="fold")
        for line in self.lines:
            table.add_row(*(column.cell(line) for column in columns))
        return table

    def _width(self, columns: Sequence[Column], console: Console, options: ConsoleOptions) -> int:
        """The least width, in columns of the terminal, that keeps whole what may not wrap."""
        width = console.measure(self._of(columns), options=options.update(width=10_000)).maximum
        for column in columns:
            if column.wraps:
                texts = [column.heading, *(column.cell(line).plain for line in self.lines)]
                width -= max(0, max(map(cell_len, texts)) - ROOM_FOR_TEXT)
        return width
