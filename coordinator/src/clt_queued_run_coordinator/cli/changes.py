"""What the commands share that change what holds for a code location."""

from collections.abc import Callable

import click

from clt_queued_run_coordinator._dagster import DagsterInstance, instance_concurrency_settings
from clt_queued_run_coordinator.cli.instance import read_queue
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.limits import live
from clt_queued_run_coordinator.queue import counts
from clt_queued_run_coordinator.view import checks, queue_state
from clt_queued_run_coordinator.view.names import nearest

CodeLocation = click.argument("code_location", metavar="LOCATION")
Force = click.option("--force", is_flag=True, help="Take a code location that no run was ever queued from.")


def known_code_locations(instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator) -> set[str]:
    """The code locations that are limited, have runs, or had any."""
    return set(queue_state.read(instance, coordinator.settings).limits) | counts.known_code_locations(instance)


def change(
    instance: DagsterInstance,
    coordinator: CLTQueuedRunCoordinator,
    names: list[str],
    force: bool,
    write: Callable[[str], object],
) -> None:
    """Write a live change for each code location and say what is in force from then on."""
    for name in names:
        if not name.strip() or name == live.EVERY_CODE_LOCATION:
            raise click.UsageError(f"{name!r} is not the name of a code location.")
        if not force:
            _refuse_unknown(name, known_code_locations(instance, coordinator))
        write(name)
    state = read_queue(instance, coordinator)
    for name in names:
        in_force = state.in_force(name)
        limit = "no limit" if in_force.limit is None else f"limit {in_force.limit} ({in_force.source.value})"
        click.echo(f"{name}: {limit} from the next tick on")
    if checks.TAG_LIMITS in instance_concurrency_settings(instance):
        click.echo(f"Beware: {checks.shadowed_by_tag_limits()}", err=True)


def _refuse_unknown(name: str, known: set[str]) -> None:
    if name in known:
        return
    similar = nearest(name, known)
    raise click.ClickException(
        f"No run was ever queued from a code location {name!r}"
        + (
            f"; did you mean {similar!r}?"
            if similar
            else "; known are " + (", ".join(sorted(known)) or "none") + "."
        )
        + " --force takes it anyway."
    )
