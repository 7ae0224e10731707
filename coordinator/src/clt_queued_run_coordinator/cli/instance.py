"""The instance that a command works on, and its queue."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.cli.opening import OpeningError, describe_error, opened_instance
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.operate import queue_state
from clt_queued_run_coordinator.operate.status import Status, status

WIDTH_WITHOUT_TERMINAL = 200
"""The width of a table in a pipe, in columns: wide enough that nothing is cut off."""


def table_console() -> Console:
    """The console that tables are printed to."""
    # A process that was started with its standard output closed has none.
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return Console(width=None if is_terminal else WIDTH_WITHOUT_TERMINAL, highlight=False)


output_option = click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="`table` for people, `json` for scripts.",
)


@contextmanager
def open_instance() -> Iterator[tuple[DagsterInstance, CLTQueuedRunCoordinator]]:
    """The instance in DAGSTER_HOME, and its coordinator.

    Raises:
        click.ClickException: It can't be opened or used; the message is one line with the cause and the cure.
    """
    try:
        with opened_instance() as opened:
            yield opened
    except OpeningError as error:
        raise click.ClickException(str(error)) from error
    except click.ClickException:
        raise
    except Exception as error:
        raise click.ClickException(f"The instance's database can't be used: {describe_error(error)}") from error


def read_queue(instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator) -> queue_state.QueueState:
    """The queue; reports live changes that can't be read on standard error."""
    state = queue_state.read(instance, coordinator.settings)
    for line in state.live.unreadable:
        click.echo(line, err=True)
    return state


def read_status(instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator) -> Status:
    """The queue as `dagster-clt status` shows it."""
    state = read_queue(instance, coordinator)
    return status(state, state.live.read_at)
