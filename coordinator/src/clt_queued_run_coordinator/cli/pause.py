"""`dagster-clt pause` and `resume`."""

from collections.abc import Callable

import click

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.cli.changes import Force, change, known_code_locations
from clt_queued_run_coordinator.cli.instance import the_instance
from clt_queued_run_coordinator.limits import live


@click.command()
@click.argument("code_location", metavar="LOCATION", required=False)
@click.option("--all", "all_of_them", is_flag=True, help="Every code location, also one that is seen later.")
@Force
def pause(code_location: str | None, all_of_them: bool, force: bool) -> None:
    """Start nothing of LOCATION from the next tick on; runs in progress are left alone."""
    _pause_or_resume(live.pause, code_location, all_of_them, force)


@click.command()
@click.argument("code_location", metavar="LOCATION", required=False)
@click.option("--all", "all_of_them", is_flag=True, help="Every code location.")
@Force
def resume(code_location: str | None, all_of_them: bool, force: bool) -> None:
    """End the pause of LOCATION; the limit from before holds again."""
    _pause_or_resume(live.resume, code_location, all_of_them, force)


def _pause_or_resume(
    write: Callable[[DagsterInstance, str], object], code_location: str | None, all_of_them: bool, force: bool
) -> None:
    if (code_location is None) != all_of_them:
        raise click.UsageError("Name one LOCATION, or give --all.")
    with the_instance() as (instance, coordinator):
        names = [code_location] if code_location else sorted(known_code_locations(instance, coordinator))
        if all_of_them:
            write(instance, live.EVERY_CODE_LOCATION)
        change(instance, coordinator, names, force or all_of_them, lambda name: write(instance, name))
