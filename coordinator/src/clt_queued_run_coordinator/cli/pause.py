"""`dagster-clt pause` and `resume`."""

from datetime import datetime, timedelta

import click

from clt_queued_run_coordinator.cli.changes import make_change
from clt_queued_run_coordinator.cli.instance import open_instance
from clt_queued_run_coordinator.cli.options import (
    change_options,
    end_of_change,
    end_options,
    force_option,
    one_or_all_options,
    require_one_or_all,
)
from clt_queued_run_coordinator.store import live


@click.command()
@one_or_all_options("Pause every code location, including those that are added later.")
@end_options
@change_options
@force_option
def pause(
    code_location: str | None,
    every_one: bool,
    *,
    lasts: timedelta | None,
    until: datetime | None,
    reason: str | None,
    by: str | None,
    force: bool,
) -> None:
    """Stop dequeuing runs of LOCATION; runs in progress go on.

    Its runs stay queued until `dagster-clt resume`, or until the end given by --for or --until.

    \b
    Examples:
      dagster-clt pause code-location-a --for 2h --reason "database migration"
      dagster-clt pause --all --until 2026-12-24T18:00+01:00
    """  # noqa: D301 - \b is for click
    end = end_of_change(lasts, until)
    require_one_or_all(code_location, every_one)
    with open_instance() as (instance, coordinator):
        make_change(
            instance,
            coordinator,
            code_location,
            lambda name, known: live.pause(instance, name, end, reason=reason, known=known, by=by),
            force=force,
        )


@click.command()
@one_or_all_options("Resume every code location.")
@change_options
@force_option
def resume(code_location: str | None, every_one: bool, *, reason: str | None, by: str | None, force: bool) -> None:
    """Resume LOCATION: end its pause and close its circuit breaker.

    The limit from before the pause applies again.
    """
    require_one_or_all(code_location, every_one)
    with open_instance() as (instance, coordinator):
        make_change(
            instance,
            coordinator,
            code_location,
            lambda name, known: live.resume(instance, name, reason=reason, known=known, by=by),
            force=force,
        )
