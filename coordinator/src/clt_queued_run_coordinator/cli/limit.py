"""`dagster-clt set-limit` and `clear-limit`."""

from datetime import datetime, timedelta

import click

from clt_queued_run_coordinator.cli.changes import make_change
from clt_queued_run_coordinator.cli.instance import open_instance
from clt_queued_run_coordinator.cli.options import (
    change_options,
    end_of_change,
    end_options,
    force_option,
    location_argument,
)
from clt_queued_run_coordinator.config.kinds import LARGEST_WHOLE_NUMBER
from clt_queued_run_coordinator.store import live


# So that click refuses -1 as a limit and not as an unknown option.
@click.command("set-limit", context_settings={"ignore_unknown_options": True})
@location_argument
@click.argument("limit", type=click.IntRange(0, LARGEST_WHOLE_NUMBER))
@end_options
@change_options
@force_option
def set_limit(
    code_location: str,
    limit: int,
    *,
    lasts: timedelta | None,
    until: datetime | None,
    reason: str | None,
    by: str | None,
    force: bool,
) -> None:
    """Let at most LIMIT runs of LOCATION be in progress at once; 0 starts none.

    Replaces the configured limit until `dagster-clt clear-limit`, or until the end given by --for or --until. Runs
    in progress go on even if they are more than LIMIT.

    \b
    Example:
      dagster-clt set-limit code-location-a 5 --for 2h --reason "slow warehouse"
    """  # noqa: D301 - \b is for click
    end = end_of_change(lasts, until)
    with open_instance() as (instance, coordinator):
        make_change(
            instance,
            coordinator,
            code_location,
            lambda name, _: live.set_limit(instance, name, limit, end, reason=reason, by=by),
            force=force,
        )


@click.command("clear-limit")
@location_argument
@change_options
@force_option
def clear_limit(code_location: str, *, reason: str | None, by: str | None, force: bool) -> None:
    """Remove the live limit of LOCATION; its configured limit applies again."""
    with open_instance() as (instance, coordinator):
        make_change(
            instance,
            coordinator,
            code_location,
            lambda name, _: live.clear_limit(instance, name, reason=reason, by=by),
            force=force,
        )
