"""What the commands share that change a limit or a pause while the daemon runs."""

from collections.abc import Callable, Iterable

import click

from clt_queued_run_coordinator._dagster import DagsterInstance, instance_concurrency_settings
from clt_queued_run_coordinator.cli.instance import read_queue
from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.operate import counts, queue_state, workspace
from clt_queued_run_coordinator.operate.check import TAG_LIMITS, shadowed_by_tag_limits
from clt_queued_run_coordinator.operate.queue_state import QueueState
from clt_queued_run_coordinator.policy.in_force import LimitInForce, limits_of
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.live import Change
from clt_queued_run_coordinator.text.formats import timestamp
from clt_queued_run_coordinator.text.similar_names import likely_meant

location_argument = click.argument("code_location", metavar="LOCATION")
force_option = click.option(
    "--force", is_flag=True, help="Accept a name that is in no workspace and that no run was ever queued from."
)


def known_code_locations(instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator) -> set[str]:
    """The code locations that have a limit, have or had runs, or are in the workspace."""
    found = workspace.find()
    return {
        *queue_state.read(instance, coordinator.settings).limits,
        *counts.known_code_locations(instance),
        *(found.code_locations if found else ()),
    }


def refuse_bad_name(
    instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator, name: str, force: bool
) -> None:
    """Refuse a name that can't be a code location's and, unless forced, one that isn't known.

    Raises:
        click.ClickException: It is refused; the message suggests the name that was likely meant.
    """
    if not name.strip() or name == live.EVERY_CODE_LOCATION:
        raise click.UsageError(f"{name!r} can't be the name of a code location; name one, as `status` shows it.")
    if not force:
        _refuse_unknown(name, known_code_locations(instance, coordinator))


def make_change(
    instance: DagsterInstance,
    coordinator: CLTQueuedRunCoordinator,
    names: Iterable[str],
    write: Callable[[], Change],
) -> None:
    """Write a live change, then say which limit is in force for each of the named code locations.

    Raises:
        click.ClickException: The change would already have ended.
    """
    try:
        written = write()
    except live.EndHasPassedError as error:
        raise click.ClickException(str(error)) from error
    state = read_queue(instance, coordinator)
    for name in names:
        echo(f"{name}: {_limit(state.in_force(name))} from the next tick {_end(state, name, written)}")
    if TAG_LIMITS in instance_concurrency_settings(instance):
        echo(f"Beware: {shadowed_by_tag_limits()}", err=True)


def _limit(in_force: LimitInForce) -> str:
    return "no limit" if in_force.limit is None else f"limit {in_force.limit} ({in_force.source.value})"


def _end(state: QueueState, name: str, written: Change) -> str:
    """How long the limit in force lasts, and which one applies then."""
    in_force = state.in_force(name)
    if written.until and (in_force.until is None or in_force.until > written.until):
        still = f"on, and after {timestamp(written.until)} too"
        change = in_force.change
        return f"{still}: {in_force.source.value} by {change.by} at {timestamp(change.at)}" if change else still
    if in_force.until is None:
        return "on"
    then = limits_of([name], state.settings, state.live.at(in_force.until))[name]
    return f"until {timestamp(in_force.until)}, then {_limit(then)}"


def _refuse_unknown(name: str, known: set[str]) -> None:
    if name in known:
        return
    meant = likely_meant(name, known)
    hint = f"did you mean {meant!r}?" if meant else f"known are: {', '.join(sorted(known)) or 'none'}."
    raise click.ClickException(
        f"No run was ever queued from a code location {name!r}; {hint} --force accepts the name anyway."
    )
