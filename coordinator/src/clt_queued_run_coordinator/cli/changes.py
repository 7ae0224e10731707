"""What the commands share that change what holds for a code location."""

from collections.abc import Callable, Iterable

import click

from clt_queued_run_coordinator import live
from clt_queued_run_coordinator._dagster import DagsterInstance, instance_concurrency_settings
from clt_queued_run_coordinator.check import workspace
from clt_queued_run_coordinator.check.instance import TAG_LIMITS, shadowed_by_tag_limits
from clt_queued_run_coordinator.cli.instance import read_queue
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.limits.in_force import LimitInForce, limits_of
from clt_queued_run_coordinator.live import Change
from clt_queued_run_coordinator.queue import counts
from clt_queued_run_coordinator.status import queue_state
from clt_queued_run_coordinator.status.queue_state import QueueState
from clt_queued_run_coordinator.text.formats import timestamp
from clt_queued_run_coordinator.text.similar_names import likely_meant

CodeLocation = click.argument("code_location", metavar="LOCATION")
Force = click.option("--force", is_flag=True, help="Take a code location that no run was ever queued from.")


def known_code_locations(instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator) -> set[str]:
    """The code locations that are limited, have runs, had any, or are in the workspace."""
    found = workspace.find()
    return {
        *queue_state.read(instance, coordinator.settings).limits,
        *counts.known_code_locations(instance),
        *(found.code_locations if found else ()),
    }


def refuse_bad_name(
    instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator, name: str, force: bool
) -> None:
    """Refuse what is no code location's name, and one that no run was ever queued from unless that is forced.

    Raises:
        click.ClickException: It is refused; with the nearest known name.
    """
    if not name.strip() or name == live.EVERY_CODE_LOCATION:
        raise click.UsageError(f"{name!r} is not the name of a code location.")
    if not force:
        _refuse_unknown(name, known_code_locations(instance, coordinator))


def change(
    instance: DagsterInstance,
    coordinator: CLTQueuedRunCoordinator,
    names: Iterable[str],
    write: Callable[[], Change],
) -> None:
    """Write a live change, and say what is in force for each of some code locations from then on.

    Raises:
        click.ClickException: It would have ended already.
    """
    try:
        written = write()
    except live.EndHasPassedError as error:
        raise click.ClickException(str(error)) from error
    state = read_queue(instance, coordinator)
    for name in names:
        click.echo(f"{name}: {_holds(state.in_force(name))} from the next tick on{_ends(state, name, written)}")
    if TAG_LIMITS in instance_concurrency_settings(instance):
        click.echo(f"Beware: {shadowed_by_tag_limits()}", err=True)


def _holds(in_force: LimitInForce) -> str:
    return "no limit" if in_force.limit is None else f"limit {in_force.limit} ({in_force.source.value})"


def _ends(state: QueueState, name: str, written: Change) -> str:
    """When what is in force ends by itself, and what holds then."""
    in_force = state.in_force(name)
    if written.until and (in_force.until is None or in_force.until > written.until):
        holds = f", and after {timestamp(written.until)} too"
        change = in_force.change
        return f"{holds}: {in_force.source.value} by {change.by} at {timestamp(change.at)}" if change else holds
    if in_force.until is None:
        return ""
    then = limits_of([name], state.settings, state.live.at(in_force.until))[name]
    return f" until {timestamp(in_force.until)}, then {_holds(then)}"


def _refuse_unknown(name: str, known: set[str]) -> None:
    if name in known:
        return
    similar = likely_meant(name, known)
    raise click.ClickException(
        f"No run was ever queued from a code location {name!r}"
        + (
            f"; did you mean {similar!r}?"
            if similar
            else "; known are " + (", ".join(sorted(known)) or "none") + "."
        )
        + " --force takes it anyway."
    )
