"""Draws a chart as a picture, with matplotlib, which only the group `pictures` has."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.timeline import Steps

from demo.chart import Chart, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#1f5fbf", "#f28e1c", "#2e8b57", "#b0419b")
HATCHES = ("", "///", "...", "xxx")
"""Told apart without colour, too."""


class PictureError(Exception):
    """A picture cannot be written."""


def ensure_can_be_written(file: Path) -> None:
    """Find out before a long demo whether its picture can be written.

    Raises:
        PictureError: With the cause and the cure.
    """
    if not find_spec("matplotlib"):
        raise PictureError(
            "A picture needs matplotlib, which is not installed;"
            " `.venv/bin/uv pip install --require-hashes --requirement requirements/pictures.txt` installs it."
        )
    from matplotlib.figure import Figure  # noqa: PLC0415 - only where it is installed

    kinds = Figure().canvas.get_supported_filetypes()
    if file.suffix.removeprefix(".") not in kinds:
        raise PictureError(f"{file} has no ending of a picture; give it one of: {', '.join(sorted(kinds))}.")
    if not file.parent.is_dir():
        raise PictureError(f"The folder of {file} does not exist; make it first: mkdir -p {file.parent}")


def write_picture(chart: Chart, file: Path) -> None:
    """Draw a chart into a file, whose suffix says the format."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only where it is installed

    figure = Figure(figsize=(10, 1 + 1.9 * len(chart.panels)), layout="constrained")
    all_axes = figure.subplots(len(chart.panels), sharex=True, squeeze=False).flat
    for axes, panel in zip(all_axes, chart.panels, strict=True):
        _draw(axes, panel, chart)
    all_axes[-1].set_xlabel("seconds since the first run was queued", fontsize=9)
    handles, names = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=len(names), frameon=False, fontsize=10)
    figure.savefig(file, dpi=110, facecolor="white")


def _draw(axes: "Axes", panel: Panel, chart: Chart) -> None:
    """Draw the stacked steps, the limit and the wait."""
    moments = sorted({0.0, chart.seconds, *(time for steps in panel.steps.values() for time in steps.times)})
    below = [0] * len(moments)
    for index, name in enumerate(chart.code_locations):
        steps = panel.steps.get(name, Steps((), ()))
        above = [count + steps.at(moment) for count, moment in zip(below, moments, strict=True)]
        axes.fill_between(
            moments, below, above, step="post", label=name, linewidth=0,
            facecolor=COLORS[index % len(COLORS)], hatch=HATCHES[index % len(HATCHES)], edgecolor="white",
        )  # fmt: skip
        below = above
    axes.axhline(panel.slots, color="#444", linewidth=1, linestyle="--")
    axes.set_title(panel.title, loc="left", fontsize=11, fontweight="bold")
    axes.set_ylabel("runs in progress", fontsize=9)
    axes.set_yticks(range(panel.slots + 1))
    axes.set_ylim(0, panel.slots + 1.1)
    axes.set_xlim(0, chart.seconds)
    axes.tick_params(labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if panel.wait:
        height = panel.slots + 0.45
        axes.plot([panel.wait.start, panel.wait.end], [height] * 2, color="#444", marker="|", linewidth=1)
        fits_behind = panel.wait.end < 0.75 * chart.seconds
        axes.annotate(
            str(panel.wait),
            (panel.wait.end, height),
            (6, -3) if fits_behind else (0, 3),
            textcoords="offset points",
            ha="left" if fits_behind else "right",
            fontsize=9,
        )
