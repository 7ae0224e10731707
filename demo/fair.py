"""How long a code location waits behind another one's flood, with each `sharing`: `make demo-fair`."""

import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from harness.concurrency import InProgress, Queued, starts_before
from harness.event_log import runs_in_progress, runs_queued
from harness.launches import A, B, launch_of
from harness.process import stop_on_signals
from harness.system import System, trial_config
from harness.timeline import in_progress_over_time
from harness.waiting import count_ended, wait_until
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from demo.chart import Chart, Panel, Wait
from demo.picture import PictureError, ensure_can_be_written, write_picture
from demo.terminal import TerminalChart

MAX_CONCURRENT_RUNS = 4
FLOODING, LATE = A, B
RUNS, LATE_RUNS = 20, 6
HEAD_START = 6
"""How many runs of the flood start before the other code location's runs are queued."""


@dataclass(frozen=True)
class Shared:
    """What one kind of sharing did.

    Attributes:
        sharing: `fifo` or `fair`.
        queued: When the runs were in the queue.
        in_progress: When they were in progress.
    """

    sharing: str
    queued: Sequence[Queued]
    in_progress: Sequence[InProgress]

    @property
    def wait(self) -> Wait:
        """From when the late code location's first run was queued until one started."""
        begin = min(run.start for run in self.queued)
        return Wait(
            LATE,
            min(run.start for run in self.queued if run.code_location == LATE) - begin,
            min(run.start for run in self.in_progress if run.code_location == LATE) - begin,
        )

    @property
    def panel(self) -> Panel:
        """What the chart shows of it, from the moment at which the first run was queued."""
        steps = in_progress_over_time(self.in_progress, since=min(run.start for run in self.queued))
        return Panel(f"sharing: {self.sharing}", MAX_CONCURRENT_RUNS, steps, self.wait)


def share(sharing: str, runs: int, seconds: float, console: Console) -> Shared:
    """Queue a flood of one code location, then a few runs of the other, on a new system.

    Args:
        sharing: `fifo` or `fair`.
        runs: How many runs the flood has.
        seconds: How long each run works.
        console: Shows how far it is.
    """
    console.print(f"{sharing}: starting the daemon, the webserver and two code servers ...")
    config = trial_config(max_concurrent_runs=MAX_CONCURRENT_RUNS, code_location_limits={"sharing": sharing})
    with (
        tempfile.TemporaryDirectory(prefix="dagster-demo-") as home,
        System(Path(home) / "home", config) as system,
        system.instance() as instance,
    ):
        run_ids = system.graphql.launch_several([launch_of(FLOODING, seconds)] * runs)
        wait_until(
            "the flood has its head start",
            lambda: len(runs_in_progress(instance, run_ids)) >= min(HEAD_START, runs),
        )
        run_ids += system.graphql.launch_several([launch_of(LATE, seconds)] * LATE_RUNS)
        _wait_for_end(instance, run_ids, sharing, console)
        return Shared(sharing, runs_queued(instance, run_ids), runs_in_progress(instance, run_ids))


def _wait_for_end(instance: dg.DagsterInstance, run_ids: Sequence[str], sharing: str, console: Console) -> None:
    """Wait until every run has ended, with a line that says how many have."""
    text = TextColumn("{task.description}")
    with Progress(text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task(f"{sharing}: runs that have ended", total=len(run_ids))

        def all_ended() -> bool:
            ended = count_ended(instance, run_ids)
            progress.update(task, completed=ended)
            return ended == len(run_ids)

        wait_until("every run has ended", all_ended, seconds=1800, every=0.5)


def table_of(results: Sequence[Shared]) -> Table:
    """How long the late code location waited with each kind of sharing."""
    table = Table("sharing", f"runs of {FLOODING} started before", f"first run of {LATE} started after")
    for result in results:
        before = starts_before(result.in_progress, LATE)
        table.add_row(result.sharing, str(before), f"{result.wait.seconds:.0f} s")
    return table


def chart_of(results: Sequence[Shared]) -> Chart:
    """The runs in progress over time with each kind of sharing."""
    return Chart((FLOODING, LATE), [result.panel for result in results])


def main() -> int:
    """Run the comparison; returns the exit code."""
    parser = ArgumentParser(prog="python -m demo.fair", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of the flood (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1, help="how long each works (default: %(default)s)")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the chart as a picture, too")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    console = Console()
    stop_on_signals()
    try:
        if options.picture:
            ensure_can_be_written(options.picture)
    except PictureError as error:
        console.print(f"[red]{error}")
        return 1
    console.print(
        f"{options.runs} runs of {FLOODING} are queued, then {LATE_RUNS} of {LATE};"
        f" at most {MAX_CONCURRENT_RUNS} in progress in all."
    )
    results = [share(sharing, options.runs, options.seconds, console) for sharing in ("fifo", "fair")]
    chart = chart_of(results)
    console.print("\nRuns in progress over time, by the event log:\n")
    console.print(TerminalChart(chart))
    console.print("", table_of(results))
    if options.picture:
        write_picture(chart, options.picture)
        console.print(f"The picture is in {options.picture}.")
    fifo, fair = (starts_before(result.in_progress, LATE) for result in results)
    return 0 if fair < fifo else 1


if __name__ == "__main__":
    sys.exit(main())
