"""The instance that a command works on, and its queue."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.cli.opening import OpeningError, opened_instance
from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.operate import queue_state
from clt_queued_run_coordinator.operate.status import Status, status


@contextmanager
def open_instance() -> Iterator[tuple[DagsterInstance, CLTQueuedRunCoordinator]]:
    """The instance in DAGSTER_HOME, and its coordinator.

    Raises:
        click.ClickException: It can't be opened; the message is one line with the cause and the cure.
    """
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(opened_instance())
        except OpeningError as error:
            raise click.ClickException(str(error)) from error
        yield opened


def read_queue(instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator) -> queue_state.QueueState:
    """The queue; reports live changes that can't be read on standard error."""
    state = queue_state.read(instance, coordinator.settings)
    echo(*state.live.unreadable, err=True)
    return state


def read_status(instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator) -> Status:
    """The queue as `dagster-clt status` shows it."""
    state = read_queue(instance, coordinator)
    return status(state, state.live.read_at)
