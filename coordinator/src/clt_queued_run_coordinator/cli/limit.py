"""`dagster-clt set-limit` and `clear-limit`."""

from datetime import datetime, timedelta

import click

from clt_queued_run_coordinator import live
from clt_queued_run_coordinator.cli.changes import CodeLocation, Force, change, refuse_bad_name
from clt_queued_run_coordinator.cli.instance import the_instance
from clt_queued_run_coordinator.cli.options import WithReason, end_of, with_end


# -1 shall be refused as a limit, not as an option.
@click.command("set-limit", context_settings={"ignore_unknown_options": True})
@CodeLocation
@click.argument("limit", type=click.IntRange(min=0))
@with_end
@WithReason
@Force
def set_limit(
    code_location: str,
    limit: int,
    *,
    lasts: timedelta | None,
    until: datetime | None,
    reason: str | None,
    force: bool,
) -> None:
    """Let at most LIMIT runs of LOCATION be in progress, from the next tick on; 0 holds it.

    With an end, what held before holds again then.
    """
    end = end_of(lasts, until)
    with the_instance() as (instance, coordinator):
        refuse_bad_name(instance, coordinator, code_location, force)
        change(
            instance,
            coordinator,
            [code_location],
            lambda: live.set_limit(instance, code_location, limit, end, reason),
        )


@click.command("clear-limit")
@CodeLocation
@WithReason
@Force
def clear_limit(code_location: str, reason: str | None, force: bool) -> None:
    """Go back to the configured limit of LOCATION."""
    with the_instance() as (instance, coordinator):
        refuse_bad_name(instance, coordinator, code_location, force)
        change(instance, coordinator, [code_location], lambda: live.clear_limit(instance, code_location, reason))
