"""The charts with which the demos end."""

import io
from typing import Literal

import pytest
from harness.concurrency import InProgress, Queued
from harness.timeline import Steps
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from demo.__main__ import chart_of as chart_of_limits
from demo.chart import Chart, Panel, Wait
from demo.fair import Shared, chart_of
from demo.terminal import TerminalChart

A, B = "code-location-a", "code-location-b"
FIFO = Panel(
    "sharing: fifo",
    4,
    {A: Steps((1, 3, 4, 20, 22), (3, 2, 4, 2, 0)), B: Steps((20, 22, 30), (2, 4, 0))},
    Wait(B, 2, 20),
)
FAIR = Panel(
    "sharing: fair", 4, {A: Steps((1, 3, 4, 20, 30), (3, 2, 2, 4, 0)), B: Steps((4, 20), (2, 0))}, Wait(B, 2, 4)
)
CHART = Chart((A, B), [FIFO, FAIR])


def printed(
    chart: Chart, width: int, *, encoding: str = "utf-8", colored: bool = False, no_color: bool = False
) -> str:
    """A chart as it is printed, without the blanks at the ends of its lines."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    colors: Literal["256"] | None = "256" if colored else None
    console = Console(file=out, width=width, force_terminal=colored, color_system=colors, no_color=no_color)
    console.print(TerminalChart(chart))
    out.seek(0)
    return "\n".join(line.rstrip() for line in out.read().splitlines())


def test_a_row_is_a_slot_and_a_column_a_moment() -> None:
    """The whole chart, as it goes into a pipe."""
    assert (
        printed(CHART, 80)
        == """\
sharing: fifo
4 │          █████████████████████████████████████████░░░░░░░░░░░░░░░░░░░░░░░░░░
3 │   █████  █████████████████████████████████████████░░░░░░░░░░░░░░░░░░░░░░░░░░
2 │   █████████████████████████████████████████████████████░░░░░░░░░░░░░░░░░░░░░
1 │   █████████████████████████████████████████████████████░░░░░░░░░░░░░░░░░░░░░
  │     ├───────── code-location-b waits 18 s ────────┤
sharing: fair
4 │          ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░██████████████████████████
3 │   █████  ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░██████████████████████████
2 │   ██████████████████████████████████████████████████████████████████████████
1 │   ██████████████████████████████████████████████████████████████████████████
  │     ├────┤ code-location-b waits 2 s
  └┬───────────┬────────────┬────────────┬────────────┬────────────┬───────────┬
   0 s         5 s          10 s         15 s         20 s         25 s
█ code-location-a   ░ code-location-b"""
    )


def test_a_narrow_terminal_shows_the_same_with_fewer_columns() -> None:
    """What doesn't fit into the line of a wait is left out, the seconds last."""
    assert (
        printed(CHART, 40)
        == """\
sharing: fifo
4 │     ████████████████████░░░░░░░░░░░░
3 │ ███ ████████████████████░░░░░░░░░░░░
2 │ ██████████████████████████░░░░░░░░░░
1 │ ██████████████████████████░░░░░░░░░░
  │  ├──────── 18 s ───────┤
sharing: fair
4 │     ░░░░░░░░░░░░░░░░░░░░████████████
3 │ ███ ░░░░░░░░░░░░░░░░░░░░████████████
2 │ ████████████████████████████████████
1 │ ████████████████████████████████████
  │  ├─┤ code-location-b waits 2 s
  └┬───────────┬───────────┬───────────┬
   0 s         10 s        20 s
█ code-location-a   ░ code-location-b"""
    )


def test_without_utf_8_the_chart_is_of_ascii() -> None:
    """Nothing is printed that the output cannot encode."""
    assert (
        printed(chart_of_limits([InProgress("1", A, 5, 9), InProgress("2", B, 6, None)]), 40, encoding="ascii")
        == """\
code-location-a, limit 2
2 |
1 |#####################################
code-location-b, limit 3
3 |
2 |
1 |         ............................
  ++--------+--------+--------+--------+
   0 s      1 s      2 s      3 s
# code-location-a   . code-location-b"""
    )


def test_more_runs_than_the_limit_have_rows_above_it() -> None:
    """A broken limit is seen, not cut off."""
    lines = printed(Chart([A], [Panel("", 1, {A: Steps((0, 9), (2, 0))})]), 20).splitlines()
    assert [line[:4] for line in lines[1:3]] == ["2 │█", "1 │█"]


def test_colour_is_there_on_a_terminal_alone() -> None:
    """NO_COLOR and a pipe leave the characters, which differ for each code location."""
    assert "\x1b[38;5;" in printed(CHART, 80, colored=True)
    assert "\x1b[38;5;" not in printed(CHART, 80, colored=True, no_color=True)
    assert "\x1b" not in printed(CHART, 80)


def test_without_runs_the_chart_is_empty() -> None:
    """The demo can end before any run has started."""
    assert "█" not in printed(chart_of_limits([]), 80).split("└")[0]


@pytest.mark.parametrize("name", [A, B])
def test_each_code_location_is_named(name: str) -> None:
    """The legend says which is which."""
    assert name in printed(CHART, 80).splitlines()[-1]


steps = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 12)), max_size=8, unique_by=lambda step: step[0]
).map(lambda pairs: Steps(tuple(time for time, _ in sorted(pairs)), tuple(count for _, count in sorted(pairs))))


@given(
    st.lists(
        st.builds(
            Panel,
            title=st.just("a title of some length"),
            slots=st.integers(0, 12),
            steps=st.dictionaries(st.sampled_from([A, B]), steps),
            wait=st.none() | st.builds(Wait, st.just(B), st.integers(0, 100), st.integers(100, 10_000)),
        ),
        max_size=3,
    ),
    st.integers(1, 200),
)
def test_no_line_is_wider_than_the_terminal(panels: list[Panel], width: int) -> None:
    """Whatever the runs did, and however small the terminal is."""
    assert all(len(line) <= width for line in printed(Chart([A, B], panels), width).splitlines())


def test_the_wait_is_from_the_first_queued_run_to_the_first_start() -> None:
    """Times are counted from the moment at which the flood was queued."""
    queued = [Queued("1", A, 100, 101), Queued("2", B, 103, 108), Queued("3", B, 104, None)]
    in_progress = [InProgress("1", A, 101, 108), InProgress("2", B, 108, 110)]
    (panel,) = chart_of([Shared("fifo", queued, in_progress)]).panels
    assert panel.wait == Wait(B, 3, 8)
    assert panel.steps == {A: Steps((1, 8), (1, 0)), B: Steps((8, 10), (1, 0))}
