"""`dagster-clt pause`, `resume`, `set-limit` and `clear-limit`: changes while the daemon runs."""

from collections.abc import Callable
from typing import Any

import click

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.cli.instance import open_instance, read_queue
from clt_queued_run_coordinator.cli.options import change_options
from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.config.kinds import LARGEST_WHOLE_NUMBER
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.operate import changing
from clt_queued_run_coordinator.operate.check import shadowed_by_tag_limits
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION, Change
from clt_queued_run_coordinator.store import live

pause_options = change_options(
    every_one="Pause every code location, including those that are added later.", ends=True
)


@click.command()
@pause_options
def pause(code_location: str | None, **how: Any) -> None:
    """Stop dequeuing runs of LOCATION; runs in progress go on.

    Its runs stay queued until `dagster-clt resume`, or until the end given by --for or --until.

    \b
    Examples:
      dagster-clt pause code-location-a --for 2h --reason "database migration"
      dagster-clt pause --all --until 2026-12-24T18:00+01:00
    """  # noqa: D301 - \b is for click
    with open_instance() as (instance, coordinator):
        make_change(instance, coordinator, live.pause, code_location, **how)


@click.command()
@change_options(every_one="Resume every code location.")
def resume(code_location: str | None, **how: Any) -> None:
    """Resume LOCATION: end its pause and close its circuit breaker.

    The limit from before the pause applies again.
    """
    with open_instance() as (instance, coordinator):
        make_change(instance, coordinator, live.resume, code_location, **how)


# So that click refuses -1 as a limit and not as an unknown option.
@click.command("set-limit", context_settings={"ignore_unknown_options": True})
@change_options(ends=True)
@click.argument("limit", type=click.IntRange(0, LARGEST_WHOLE_NUMBER))
def set_limit(code_location: str, **how: Any) -> None:
    """Let at most LIMIT runs of LOCATION be in progress at once; 0 starts none.

    Replaces the configured limit until `dagster-clt clear-limit`, or until the end given by --for or --until. Runs
    in progress go on even if they are more than LIMIT.

    \b
    Example:
      dagster-clt set-limit code-location-a 5 --for 2h --reason "slow warehouse"
    """  # noqa: D301 - \b is for click
    with open_instance() as (instance, coordinator):
        make_change(instance, coordinator, live.set_limit, code_location, **how)


@click.command("clear-limit")
@change_options()
def clear_limit(code_location: str, **how: Any) -> None:
    """Remove the live limit of LOCATION; its configured limit applies again."""
    with open_instance() as (instance, coordinator):
        make_change(instance, coordinator, live.clear_limit, code_location, **how)


def make_change(
    instance: DagsterInstance,
    coordinator: CLTQueuedRunCoordinator,
    write: Callable[..., Change],
    code_location: str | None,
    *,
    force: bool,
    **how: Any,
) -> None:
    """Write a live change by a function of `store.live`, then say which limit is in force for each code location.

    It is about `code_location`, or all. A name that can't be a code location's is wrong usage, and one that isn't
    known is refused unless it is forced.
    """
    if code_location is None:
        changed = changing.code_locations(instance, coordinator.settings, None)
        written = write(instance, EVERY_CODE_LOCATION, known=changed, **how)
    elif not code_location.strip() or code_location == EVERY_CODE_LOCATION:
        raise click.UsageError(
            f"{code_location!r} can't be the name of a code location; name one, as `status` shows it."
        )
    else:
        changed = changing.code_locations(instance, coordinator.settings, code_location, force=force)
        written = write(instance, code_location, **how)
    state = read_queue(instance, coordinator).state
    if not changed:
        echo("No code location is known yet; those that come go by it from their first run on.")
    for name in changed:
        echo(f"{name}: {changing.effect(state, name, written)}")
    if shadowed := shadowed_by_tag_limits(instance):
        echo(f"Beware: {shadowed}", err=True)
