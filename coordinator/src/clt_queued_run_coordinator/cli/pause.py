"""`dagster-clt pause` and `resume`."""

from collections.abc import Callable
from datetime import datetime, timedelta

import click

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.cli.changes import (
    force_option,
    known_code_locations,
    make_change,
    refuse_bad_name,
)
from clt_queued_run_coordinator.cli.instance import open_instance
from clt_queued_run_coordinator.cli.options import end_of_change, end_options, reason_option
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.live import Change

optional_location_argument = click.argument("code_location", metavar="[LOCATION]", required=False)
pause_all_option = click.option(
    "--all", "every_one", is_flag=True, help="Pause every code location, including those that are added later."
)


@click.command()
@optional_location_argument
@pause_all_option
@end_options
@reason_option
@force_option
def pause(
    code_location: str | None,
    every_one: bool,
    *,
    lasts: timedelta | None,
    until: datetime | None,
    reason: str | None,
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
        pause_one_or_all(instance, coordinator, code_location, end, reason, force=force)


@click.command()
@optional_location_argument
@click.option("--all", "every_one", is_flag=True, help="Resume every code location.")
@reason_option
@force_option
def resume(code_location: str | None, every_one: bool, reason: str | None, force: bool) -> None:
    """Resume LOCATION: end its pause and close its circuit breaker.

    The limit from before the pause applies again.
    """
    require_one_or_all(code_location, every_one)
    with open_instance() as (instance, coordinator):
        _change_one_or_all(
            instance,
            coordinator,
            code_location,
            force,
            lambda name, known: live.resume(instance, name, reason, known),
        )


def require_one_or_all(code_location: str | None, every_one: bool) -> None:
    """Refuse both a name and `--all`, and neither.

    Raises:
        click.UsageError: It is refused.
    """
    if (code_location is None) != every_one:
        raise click.UsageError("Name one LOCATION, or give --all.")


def pause_one_or_all(
    instance: DagsterInstance,
    coordinator: CLTQueuedRunCoordinator,
    code_location: str | None,
    end: datetime | timedelta | None,
    reason: str | None,
    *,
    force: bool,
) -> None:
    """Pause one code location or all, and say what is in force from then on.

    Args:
        instance: The instance.
        coordinator: Its coordinator.
        code_location: Which one; None for all.
        end: When the pause ends by itself; see `live.pause`.
        reason: Why.
        force: Accept an unknown code location.
    """
    _change_one_or_all(
        instance,
        coordinator,
        code_location,
        force,
        lambda name, known: live.pause(instance, name, end, reason, known),
    )


def _change_one_or_all(
    instance: DagsterInstance,
    coordinator: CLTQueuedRunCoordinator,
    code_location: str | None,
    force: bool,
    write: Callable[[str, list[str]], Change],
) -> None:
    """Change one code location or all; `write` takes the name and, for all, the known code locations."""
    if code_location is not None:
        refuse_bad_name(instance, coordinator, code_location, force)
        make_change(instance, coordinator, [code_location], lambda: write(code_location, []))
    else:
        known = sorted(known_code_locations(instance, coordinator))
        make_change(instance, coordinator, known, lambda: write(live.EVERY_CODE_LOCATION, known))
