"""`dagster-clt pause` and `resume`."""

from collections.abc import Callable
from datetime import datetime, timedelta

import click

from clt_queued_run_coordinator import live
from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.cli.changes import Force, change, known_code_locations, refuse_bad_name
from clt_queued_run_coordinator.cli.instance import the_instance
from clt_queued_run_coordinator.cli.options import WithReason, end_of, with_end
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.live import Change

OneOrAll = click.argument("code_location", metavar="LOCATION", required=False)


@click.command()
@OneOrAll
@click.option("--all", "all_of_them", is_flag=True, help="Every code location, also one that is seen later.")
@with_end
@WithReason
@Force
def pause(
    code_location: str | None,
    all_of_them: bool,
    *,
    lasts: timedelta | None,
    until: datetime | None,
    reason: str | None,
    force: bool,
) -> None:
    """Start nothing of LOCATION from the next tick on; runs in progress are left alone.

    With an end, what held before holds again then.
    """
    end = end_of(lasts, until)
    refuse_one_and_all(code_location, all_of_them)
    with the_instance() as (instance, coordinator):
        pause_one_or_all(instance, coordinator, code_location, end, reason, force=force)


@click.command()
@OneOrAll
@click.option("--all", "all_of_them", is_flag=True, help="Every code location.")
@WithReason
@Force
def resume(code_location: str | None, all_of_them: bool, reason: str | None, force: bool) -> None:
    """End the pause of LOCATION and close its circuit breaker; the limit from before holds again."""
    refuse_one_and_all(code_location, all_of_them)
    with the_instance() as (instance, coordinator):
        _change_one_or_all(
            instance,
            coordinator,
            code_location,
            force,
            lambda name, known: live.resume(instance, name, reason, known),
        )


def refuse_one_and_all(code_location: str | None, all_of_them: bool) -> None:
    """Refuse both a name and `--all`, and neither.

    Raises:
        click.UsageError: It is refused.
    """
    if (code_location is None) != all_of_them:
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
    """Pause a code location, or all of them, and say what is in force from then on.

    Args:
        instance: The instance.
        coordinator: Its coordinator.
        code_location: Which one; None for all.
        end: When the pause ends by itself; see `live.pause`.
        reason: Why.
        force: Take one that no run was ever queued from.
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
    """Write a change of one code location, or of all of them, and say what is in force from then on.

    Args:
        instance: The instance.
        coordinator: Its coordinator.
        code_location: Which one; None for all.
        force: Take one that no run was ever queued from.
        write: Writes it, from the name and, for all, the known code locations.
    """
    if code_location is not None:
        refuse_bad_name(instance, coordinator, code_location, force)
        change(instance, coordinator, [code_location], lambda: write(code_location, []))
    else:
        known = sorted(known_code_locations(instance, coordinator))
        change(instance, coordinator, known, lambda: write(live.EVERY_CODE_LOCATION, known))
