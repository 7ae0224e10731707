"""Draws a chart in the terminal: a row is a slot, a column a moment."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from demo.chart import Chart, Panel, Wait

STYLES = ("dodger_blue2", "orange1", "green4", "magenta")
TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
TICK_COLUMNS = 8
"""The fewest columns between two ticks of the time axis."""


@dataclass(frozen=True)
class Glyphs:
    """The characters that a chart is drawn with.

    Attributes:
        fills: One for each code location, so that colour is not needed to tell them apart.
        side: The line at the left.
        corner: Where that meets the time axis.
        line: The time axis, and the middle of a wait.
        tick: A tick of the time axis.
        begin: The beginning of a wait.
        end: The end of a wait.
    """

    fills: str
    side: str
    corner: str
    line: str
    tick: str
    begin: str
    end: str


UNICODE = Glyphs(fills="█░▓▒", side="│", corner="└", line="─", tick="┬", begin="├", end="┤")
ASCII = Glyphs(fills="#.o=", side="|", corner="+", line="-", tick="+", begin="|", end="|")


@dataclass(frozen=True)
class TerminalChart:
    """A chart as Rich prints it, as wide as the terminal."""

    chart: Chart

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """The lines of the chart."""
        margin = max((len(str(_rows(panel))) for panel in self.chart.panels), default=0)
        columns = max(1, options.max_width - margin - 2)
        drawing = _Drawing(self.chart, ASCII if options.ascii_only else UNICODE, margin, columns)
        for panel in self.chart.panels:
            yield from drawing.panel(panel)
        yield from drawing.time_axis()
        yield drawing.legend()


@dataclass(frozen=True)
class _Drawing:
    chart: Chart
    glyphs: Glyphs
    margin: int
    columns: int

    def panel(self, panel: Panel) -> Iterator[Text]:
        """The title, the slots from the highest to the lowest, and the wait."""
        yield Text(panel.title, "bold", no_wrap=True, overflow="ellipsis")
        stacks = [self._stack(panel, column) for column in range(self.columns)]
        for slot in reversed(range(_rows(panel))):
            line = self._line(str(slot + 1), "bold red" if slot >= panel.slots else "")
            for index, same in groupby(stack[slot] if slot < len(stack) else None for stack in stacks):
                line.append_text(self._fill(index, len(list(same))))
            yield line
        if panel.wait:
            yield self._line("").append(self._wait(panel.wait))

    def time_axis(self) -> Iterator[Text]:
        """The line with its ticks, and the seconds below them."""
        line, labels = list(self.glyphs.line * self.columns), ""
        for seconds in range(0, int(self.chart.seconds) + 1, self._seconds_between_ticks()):
            column, label = self._column(seconds), f"{seconds} s"
            line[column] = self.glyphs.tick
            if len(labels) <= column <= self.columns - len(label):
                labels = labels.ljust(column) + label
        yield _unwrapped(" " * (self.margin + 1) + self.glyphs.corner + "".join(line))
        yield _unwrapped(" " * (self.margin + 2) + labels)

    def legend(self) -> Text:
        """Which code location is drawn how."""
        entries = [
            Text.assemble(self._fill(index), " ", name) for index, name in enumerate(self.chart.code_locations)
        ]
        return Text("   ").join(entries)

    def _line(self, label: str, style: str = "") -> Text:
        return _unwrapped().append(label.rjust(self.margin), style).append(f" {self.glyphs.side}")

    def _fill(self, index: int | None, columns: int = 1) -> Text:
        """Some columns of a code location, or blank ones."""
        if index is None:
            return Text(" " * columns)
        return Text(self.glyphs.fills[index % len(self.glyphs.fills)] * columns, STYLES[index % len(STYLES)])

    def _stack(self, panel: Panel, column: int) -> list[int]:
        """The code location in each slot, from the bottom, at the middle of a column."""
        moment = (column + 0.5) * self.chart.seconds / self.columns
        return [
            index
            for index, name in enumerate(self.chart.code_locations)
            if name in panel.steps
            for _ in range(panel.steps[name].at(moment))
        ]

    def _wait(self, wait: Wait) -> str:
        """A line as long as the wait; what it says is in the line, or behind it where that is too short."""
        first = min(self._column(wait.start), max(0, self.columns - 2))
        last = max(self._column(wait.end), first + 1)
        inside, behind = last - first - 1, self.columns - last - 1
        for text in (f" {wait} ", f" {wait.seconds:.0f} s "):
            if len(text) <= inside:
                return self._from_to(first, text.center(inside, self.glyphs.line))
            if len(text) <= behind:
                return self._from_to(first, self.glyphs.line * inside) + text.rstrip()
        return self._from_to(first, self.glyphs.line * inside)

    def _from_to(self, first: int, inside: str) -> str:
        return " " * first + self.glyphs.begin + inside + self.glyphs.end

    def _column(self, seconds: float) -> int:
        """The column that a moment lies in."""
        if not self.chart.seconds:
            return 0
        return min(int(seconds / self.chart.seconds * self.columns), self.columns - 1)

    def _seconds_between_ticks(self) -> int:
        seconds_a_column = self.chart.seconds / self.columns
        fitting = (seconds for seconds in TICK_SECONDS if seconds >= TICK_COLUMNS * seconds_a_column)
        return next(fitting, TICK_SECONDS[-1])


def _rows(panel: Panel) -> int:
    """As many as the panel has slots, or as runs were in progress at once where these were more."""
    moments = {time for steps in panel.steps.values() for time in steps.times}
    most = (sum(steps.at(moment) for steps in panel.steps.values()) for moment in moments)
    return max(panel.slots, *most, 0)


def _unwrapped(text: str = "") -> Text:
    return Text(text, no_wrap=True, overflow="crop")
