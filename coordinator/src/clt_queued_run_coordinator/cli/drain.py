"""`dagster-clt drain`."""

import time
from datetime import timedelta
from shlex import quote
from typing import Any

import click

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.cli.changes import make_change, pause_options
from clt_queued_run_coordinator.cli.errors import is_of_the_database
from clt_queued_run_coordinator.cli.instance import open_instance
from clt_queued_run_coordinator.cli.options import interval_option, parse_duration
from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.config.duration import EXAMPLES
from clt_queued_run_coordinator.operate import draining
from clt_queued_run_coordinator.operate.draining import Draining
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.text.formats import count, duration
from clt_queued_run_coordinator.text.safe import describe


@click.command()
@pause_options
@click.option(
    "--timeout",
    metavar="DURATION",
    default="30m",
    show_default=True,
    type=parse_duration,
    help=f"Stop waiting after this long, {EXAMPLES}; the pause stays.",
)
@interval_option(help="How often to look.")
@click.option(
    "--cancel-queued", is_flag=True, help="Then cancel its queued runs, for a LOCATION that is to be removed."
)
def drain(
    code_location: str | None, *, timeout: timedelta, interval: float, cancel_queued: bool, **how: Any
) -> None:
    """Pause LOCATION and wait until none of its runs is in progress.

    The exit code is 1 if that takes longer than the timeout. Either way LOCATION stays paused until `dagster-clt
    resume`, or until the end given by --for or --until. Runs without a code location count only for --all.

    \b
    Example, around a deployment:
      dagster-clt drain code-location-a --timeout 20m --reason deploy \\
        && helm upgrade ... && dagster-clt resume code-location-a
    """  # noqa: D301 - \b is for click
    if cancel_queued and code_location is None:
        raise click.UsageError("Name one LOCATION whose queued runs are to be cancelled.")
    what = "everything" if code_location is None else code_location
    resume = f"`dagster-clt resume {'--all' if code_location is None else quote(code_location)}`"
    with open_instance() as (instance, coordinator):
        make_change(instance, coordinator, live.pause, code_location, **how)
        try:
            left = _wait(instance, None if code_location is None else [code_location], timeout, interval)
        except KeyboardInterrupt:
            echo(f"Interrupted: {what} stays paused; {resume} ends the pause.", err=True)
            raise
        if cancel_queued and code_location and left.is_drained:
            cancelled = draining.cancel_queued(instance, code_location)
            echo(f"{code_location}: {count(cancelled, 'queued run')} cancelled")
    if left.resumed:
        names = "every code location" if EVERY_CODE_LOCATION in left.resumed else ", ".join(left.resumed)
        raise click.ClickException(
            f"{names} is no longer paused: somebody resumed it, or its pause ended; {_left(left)}."
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
    """Wait until nothing is in progress, somebody resumes what was paused, or the time is up.

    It prints each change of what is left to standard error, and waits while the database is away.
    """
    ends = time.monotonic() + timeout.total_seconds()
    told = ""
    while True:
        remaining = ends - time.monotonic()
        try:
            left = draining.read(instance, names)
        except Exception as error:
            if remaining <= 0 or not is_of_the_database(error):
                raise
            state = f"the database can't be used: {describe(error)}"
        else:
            if left.is_drained or left.resumed:
                return left
            state = _left(left)
        if state != told:
            echo(state, err=True)
            told = state
        if remaining <= 0:
            return left
        time.sleep(min(remaining, interval))


def _left(left: Draining) -> str:
    if left.in_progress:
        return f"{left.in_progress} in progress"
    return "nothing in progress, but the daemon hasn't started a tick with the pause yet"
