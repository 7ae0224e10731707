"""`dagster-clt drain`."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from shlex import quote

import click
from rich.console import Console

from clt_queued_run_coordinator import live
from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.cli.changes import Force
from clt_queued_run_coordinator.cli.instance import the_instance
from clt_queued_run_coordinator.cli.options import WithReason, as_length, end_of, with_end
from clt_queued_run_coordinator.cli.pause import OneOrAll, pause_one_or_all, refuse_one_and_all
from clt_queued_run_coordinator.limits.duration import EXAMPLES
from clt_queued_run_coordinator.status import draining
from clt_queued_run_coordinator.status.draining import Draining
from clt_queued_run_coordinator.text.formats import duration


@click.command()
@OneOrAll
@click.option("--all", "all_of_them", is_flag=True, help="Every code location, also one that is seen later.")
@with_end
@WithReason
@click.option(
    "--timeout",
    metavar="TIME",
    default="30m",
    show_default=True,
    callback=as_length,
    help=f"Give up after this time, {EXAMPLES}; what is paused stays paused.",
)
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Seconds between looks."
)
@Force
def drain(
    code_location: str | None,
    all_of_them: bool,
    *,
    lasts: timedelta | None,
    until: datetime | None,
    reason: str | None,
    timeout: timedelta,
    interval: float,
    force: bool,
) -> None:
    """Pause LOCATION and wait until nothing of it is in progress; exit code 1 if it takes longer than the timeout.

    It stays paused either way, until it is resumed or the end comes that was given.
    """
    end = end_of(lasts, until)
    refuse_one_and_all(code_location, all_of_them)
    what = "everything" if code_location is None else code_location
    resume = f"`dagster-clt resume {'--all' if code_location is None else quote(code_location)}`"
    with the_instance() as (instance, coordinator):
        pause_one_or_all(instance, coordinator, code_location, end, reason, force=force)
        try:
            left = _wait(instance, None if code_location is None else [code_location], timeout, interval)
        except KeyboardInterrupt:
            click.echo(f"Interrupted: {what} stays paused; {resume} ends that.", err=True)
            raise SystemExit(1) from None
    if left.resumed:
        raise click.ClickException(
            f"{_names(left.resumed)} is no longer paused: somebody has resumed it, or the pause has ended;"
            f" {_left(left)}."
        )
    if not left.is_drained:
        raise click.ClickException(
            f"{what} isn't drained after {duration(timeout.total_seconds())}: {_left(left)}."
            f" It stays paused; {resume} ends that."
        )
    if not left.is_seen:
        click.echo("No daemon runs; one that starts goes by the pause from its first tick on.", err=True)
    click.echo(f"{what}: drained; {resume} ends the pause")


def _wait(instance: DagsterInstance, names: list[str] | None, timeout: timedelta, interval: float) -> Draining:
    """Look until nothing is in progress, somebody has resumed what was paused, or the time is up."""
    ends = time.monotonic() + timeout.total_seconds()
    with _progress() as show:
        while True:
            left = draining.read(instance, names)
            remaining = ends - time.monotonic()
            if left.is_drained or left.resumed or remaining <= 0:
                return left
            show(_left(left))
            time.sleep(min(remaining, interval))


def _names(names: tuple[str, ...]) -> str:
    return "every code location" if live.EVERY_CODE_LOCATION in names else ", ".join(names)


def _left(left: Draining) -> str:
    if left.in_progress:
        return f"{left.in_progress} in progress"
    return "nothing in progress, but the daemon hasn't begun a tick with the pause yet"


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Shows how far it is on standard error: in place on a terminal, else a line for each change."""
    if sys.stderr.isatty():
        with Console(stderr=True, highlight=False).status("") as status:
            yield status.update
        return
    shown: list[str] = []

    def show(line: str) -> None:
        if shown[-1:] != [line]:
            shown.append(line)
            click.echo(line, err=True)

    yield show
