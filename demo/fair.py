"""How long a code location waits behind another one's flood, with each `sharing`: `make demo-fair`."""

import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.concurrency import starts_before
from harness.event_log import runs_in_progress
from harness.graphql import Launch
from harness.process import stop_on_sigterm
from harness.system import System, trial_config
from harness.waiting import wait_until

MAX_CONCURRENT_RUNS = 4
FLOODING, LATE = "code-location-a", "code-location-b"
LATE_RUNS = 5


def compare(sharing: str, runs: int, seconds: float) -> tuple[int, float]:
    """Queue a flood of one code location, then a few runs of the other, on a new system.

    Args:
        sharing: `fifo` or `fair`.
        runs: How many runs the flood has.
        seconds: How long each run works.

    Returns:
        How many runs of the flood started before the first of the other code location, and how many seconds
        after its launch that one started.
    """
    work = {"config": {"seconds": seconds}}
    flood = Launch(FLOODING, "refresh_search_index", {"ops": {"collect": work}})
    late = Launch(LATE, "close_books", {"ops": {"balance": work}})
    config = trial_config(max_concurrent_runs=MAX_CONCURRENT_RUNS, code_location_limits={"sharing": sharing})
    with (
        tempfile.TemporaryDirectory(prefix="dagster-demo-") as home,
        System(Path(home) / "home", config) as system,
        system.instance() as instance,
    ):
        run_ids = system.graphql.launch_several([flood] * runs)
        launched = time.time()
        late_ids = system.graphql.launch_several([late] * LATE_RUNS)
        started = wait_until(
            f"a run of {LATE} starts", lambda: runs_in_progress(instance, late_ids), seconds=1800, every=0.5
        )
        waited = min(run.start for run in started) - launched
        return starts_before(runs_in_progress(instance, run_ids + late_ids), LATE), waited


def main() -> int:
    """Run the comparison; returns the exit code."""
    parser = ArgumentParser(prog="python -m demo.fair", description=__doc__)
    parser.add_argument("--runs", type=int, default=30, help="runs of the flood (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1, help="how long each works (default: %(default)s)")
    options = parser.parse_args()
    console = Console()
    stop_on_sigterm()
    console.print(
        f"{options.runs} runs of {FLOODING} are queued, then {LATE_RUNS} of {LATE};"
        f" at most {MAX_CONCURRENT_RUNS} in progress in all."
    )
    table = Table("sharing", f"runs of {FLOODING} started before", f"first run of {LATE} started after")
    started = {}
    for sharing in ("fifo", "fair"):
        started[sharing], queued = compare(sharing, options.runs, options.seconds)
        table.add_row(sharing, str(started[sharing]), f"{queued:.0f} s")
    console.print(table)
    return 0 if started["fair"] < started["fifo"] else 1


if __name__ == "__main__":
    sys.exit(main())
