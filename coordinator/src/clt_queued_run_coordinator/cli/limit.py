"""`dagster-clt set-limit` and `clear-limit`."""

import click

from clt_queued_run_coordinator.cli.changes import CodeLocation, Force, change
from clt_queued_run_coordinator.cli.instance import the_instance
from clt_queued_run_coordinator.limits import live


# -1 shall be refused as a limit, not as an option.
@click.command("set-limit", context_settings={"ignore_unknown_options": True})
@CodeLocation
@click.argument("limit", type=click.IntRange(min=0))
@Force
def set_limit(code_location: str, limit: int, force: bool) -> None:
    """Let at most LIMIT runs of LOCATION be in progress, from the next tick on; 0 holds it."""
    with the_instance() as (instance, coordinator):
        change(instance, coordinator, [code_location], force, lambda name: live.set_limit(instance, name, limit))


@click.command("clear-limit")
@CodeLocation
@Force
def clear_limit(code_location: str, force: bool) -> None:
    """Go back to the configured limit of LOCATION."""
    with the_instance() as (instance, coordinator):
        change(instance, coordinator, [code_location], force, lambda name: live.clear_limit(instance, name))
