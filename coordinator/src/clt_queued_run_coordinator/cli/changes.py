"""How the commands change a limit or a pause while the daemon runs, and say what is in force from then on."""

from collections.abc import Callable
from dataclasses import replace

import click

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.cli.instance import read_queue
from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.operate import names
from clt_queued_run_coordinator.operate.check import shadowed_by_tag_limits
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION, Change
from clt_queued_run_coordinator.policy.in_force import LimitInForce
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.text.formats import timestamp


def make_change(
    instance: DagsterInstance,
    coordinator: CLTQueuedRunCoordinator,
    code_location: str | None,
    write: Callable[[str, list[str]], Change],
    *,
    force: bool = False,
) -> None:
    """Write a live change, then say which limit is in force for each code location that it is about.

    Args:
        instance: The instance.
        coordinator: Its coordinator.
        code_location: Which one to change; None for all.
        write: Writes the change; takes the name and, for all, the known code locations.
        force: Accept a name that isn't known.

    Raises:
        click.UsageError: The name can't be a code location's.
        RefusalError: It isn't known, or the change would already have ended.
    """
    if code_location is not None and (not code_location.strip() or code_location == EVERY_CODE_LOCATION):
        raise click.UsageError(
            f"{code_location!r} can't be the name of a code location; name one, as `status` shows it."
        )
    known = [] if force and code_location else sorted(names.known(instance, coordinator.settings))
    if code_location is None:
        changed, written = known, write(EVERY_CODE_LOCATION, known)
    else:
        if not force:
            names.refuse_unknown(code_location, known)
        changed, written = [code_location], write(code_location, [])
    state = read_queue(instance, coordinator).state
    if not changed:
        echo("No code location is known yet; those that come go by it from their first run on.")
    for name in changed:
        echo(f"{name}: {_limit(state.in_force(name))} from the next tick {_end(state, name, written)}")
    if shadowed := shadowed_by_tag_limits(instance):
        echo(f"Beware: {shadowed}", err=True)


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
    then = replace(state, live=state.live.at(in_force.until)).in_force(name)
    return f"until {timestamp(in_force.until)}, then {_limit(then)}"
