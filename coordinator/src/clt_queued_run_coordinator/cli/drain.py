"""`dagster-clt drain`."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from shlex import quote

import click
from rich.console import Console

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.cli.changes import force_option
from clt_queued_run_coordinator.cli.instance import open_instance
from clt_queued_run_coordinator.cli.options import end_of_change, end_options, parse_duration, reason_option
from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.cli.pause import (
    optional_location_argument,
    pause_all_option,
    pause_one_or_all,
    require_one_or_all,
)
from clt_queued_run_coordinator.config.duration import EXAMPLES
from clt_queued_run_coordinator.operate import draining
from clt_queued_run_coordinator.operate.draining import Draining
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.text.formats import duration


@click.command()
@optional_location_argument
@pause_all_option
@end_options
@reason_option
@click.option(
    "--timeout",
    metavar="DURATION",
    default="30m",
    show_default=True,
    callback=parse_duration,
    help=f"Stop waiting after this long, {EXAMPLES}; the pause stays.",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    default=2.0,
    show_default=True,
    help="How often to look.",
)
@force_option
def drain(
    code_location: str | None,
    every_one: bool,
    *,
    lasts: timedelta | None,
    until: datetime | None,
    reason: str | None,
    timeout: timedelta,
    interval: float,
    force: bool,
) -> None:
    """Pause LOCATION and wait until none of its runs is in progress.

    The exit code is 1 if that takes longer than the timeout. Either way LOCATION stays paused until `dagster-clt
    resume`, or until the end given by --for or --until.

    \b
    Example, around a deployment:
      dagster-clt drain code-location-a --timeout 20m --reason deploy \\
        && helm upgrade ... && dagster-clt resume code-location-a
    """  # noqa: D301 - \b is for click
    end = end_of_change(lasts, until)
    require_one_or_all(code_location, every_one)
    what = "everything" if code_location is None else code_location
    resume = f"`dagster-clt resume {'--all' if code_location is None else quote(code_location)}`"
    with open_instance() as (instance, coordinator):
        pause_one_or_all(instance, coordinator, code_location, end, reason, force=force)
        try:
            left = _wait(instance, None if code_location is None else [code_location], timeout, interval)
        except KeyboardInterrupt:
            echo(f"Interrupted: {what} stays paused; {resume} ends the pause.", err=True)
            raise SystemExit(1) from None
    if left.resumed:
        raise click.ClickException(
            f"{_names(left.resumed)} is no longer paused: somebody resumed it, or its pause ended; {_left(left)}."
            " Drain again to go on waiting."
        )
    if not left.is_drained:
        raise click.ClickException(
            f"{what} is not drained after {duration(timeout.total_seconds())}: {_left(left)}."
            f" It stays paused; drain again to go on waiting, or {resume} ends the pause."
        )
    if not left.is_seen:
        echo("No daemon is running; one that starts obeys the pause from its first tick.", err=True)
    echo(f"{what}: drained; {resume} ends the pause")


def _wait(instance: DagsterInstance, names: list[str] | None, timeout: timedelta, interval: float) -> Draining:
    """Wait until nothing is in progress, somebody resumes what was paused, or the time is up."""
    ends = time.monotonic() + timeout.total_seconds()
    with _progress() as show:
        while True:
            left = draining.read(instance, names)
            if left.is_drained or left.resumed:
                return left
            show(_left(left))
            remaining = ends - time.monotonic()
            if remaining <= 0:
                return left
            time.sleep(min(remaining, interval))


def _names(names: tuple[str, ...]) -> str:
    return "every code location" if live.EVERY_CODE_LOCATION in names else ", ".join(names)


def _left(left: Draining) -> str:
    if left.in_progress:
        return f"{left.in_progress} in progress"
    return "nothing in progress, but the daemon hasn't started a tick with the pause yet"


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show the progress on standard error: in place on a terminal, otherwise a line for each change."""
    if sys.stderr.isatty():
        with Console(stderr=True, highlight=False).status("") as status:
            yield status.update
        return
    shown: list[str] = []

    def show(line: str) -> None:
        if shown[-1:] != [line]:
            shown.append(line)
            echo(line, err=True)

    yield show
