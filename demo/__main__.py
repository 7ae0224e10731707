"""A burst of runs of both code locations under their limits: `make demo`."""

import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from harness.concurrency import InProgress, peak, peak_by_code_location, violations
from harness.event_log import runs_in_progress
from harness.graphql import Launch
from harness.launches import A, B, launch_of
from harness.process import stop_on_signals
from harness.system import System, trial_config
from harness.timeline import in_progress_over_time
from harness.waiting import wait_until
from rich.console import Console
from rich.live import Live

from demo.chart import Chart, Panel
from demo.table import Watch
from demo.terminal import TerminalChart

MAX_CONCURRENT_RUNS = 5
LIMITS = {A: 2, B: 3}


def burst(runs: int, seconds: float) -> list[Launch]:
    """As many runs of each code location, in turns; each works for some seconds."""
    return [launch_of(name, seconds) for _ in range(runs) for name in LIMITS]


def watch(instance: dg.DagsterInstance, run_ids: list[str], console: Console) -> list[dg.DagsterRun]:
    """Show the live table until every run has ended; returns the runs."""
    seen = Watch(LIMITS)

    def look() -> list[dg.DagsterRun]:
        runs = list(instance.get_runs(dg.RunsFilter(run_ids=run_ids)))
        live.update(seen.look(runs), refresh=True)
        return runs if all(run.is_finished for run in runs) else []

    with Live(console=console, auto_refresh=False) as live:
        return wait_until("every run has ended", look, seconds=900, every=0.5)


def verdict(runs: Sequence[dg.DagsterRun], times: Sequence[InProgress]) -> list[str]:
    """What did not go as it should, one line each, as the event log tells it."""
    most = peak_by_code_location(times)
    return [
        *(
            f"run {run.run_id} ended {run.status.value}"
            for run in runs
            if run.status is not dg.DagsterRunStatus.SUCCESS
        ),
        *map(str, violations(times, LIMITS, MAX_CONCURRENT_RUNS)),
        *(
            f"{name} never had {limit} runs in progress at once, as its limit allows"
            for name, limit in LIMITS.items()
            if most.get(name, 0) < limit
        ),
    ]


def chart_of(times: Sequence[InProgress]) -> Chart:
    """Each code location's runs in progress over time against its limit."""
    steps = in_progress_over_time(times, since=min((run.start for run in times), default=0))
    return Chart(
        list(LIMITS),
        [
            Panel(f"{name}, limit {limit}", limit, {name: steps[name]} if name in steps else {})
            for name, limit in LIMITS.items()
        ],
    )


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--runs", type=int, default=6, help="runs of each code location (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2, help="how long each works (default: %(default)s)")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    console = Console()
    stop_on_signals()
    console.print("Starting the daemon, the webserver and two code servers ...")
    with tempfile.TemporaryDirectory(prefix="dagster-demo-") as home:
        config = trial_config(max_concurrent_runs=MAX_CONCURRENT_RUNS, code_location_limits={"locations": LIMITS})
        with System(Path(home) / "home", config) as system, system.instance() as instance:
            console.print(f"Launching {options.runs} runs of each code location.")
            run_ids = system.graphql.launch_several(burst(options.runs, options.seconds))
            runs = watch(instance, run_ids, console)
            times = runs_in_progress(instance, run_ids)
    console.print("\nRuns in progress over time, by the event log:\n")
    console.print(TerminalChart(chart_of(times)))
    problems = verdict(runs, times)
    for problem in problems:
        console.print(f"[red]{problem}")
    if not problems:
        most = peak_by_code_location(times)
        console.print(
            f"\nBy the event log: {len(runs)} runs succeeded; at most"
            f" {' and '.join(f'{most[name]} of {name}' for name in LIMITS)} were in progress at once,"
            f" {peak(times)} in all. No limit was exceeded and each was reached."
        )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
