"""The instance that a command works on, found by DAGSTER_HOME as the `dagster` command does, and its queue."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, InstanceRef
from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.operate import now
from clt_queued_run_coordinator.text.safe import describe

TIMEOUTS = {
    "connect_timeout": 4,  # seconds, for each address of the server
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}
"""How libpq notices that the network to PostgreSQL is dead; without them a command may wait for hours."""

PATIENCE_SECONDS = 8.0
"""After so long without a connection a command gives up. Dagster would try six times."""


def dagster_home() -> Path:
    """The folder that DAGSTER_HOME names; ClickException if it names none."""
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        raise click.ClickException(
            "DAGSTER_HOME is not set; set it to the folder that holds the instance's dagster.yaml."
        )
    try:
        folder = Path(home).expanduser()
        is_usable = folder.is_absolute() and folder.is_dir()
    except (OSError, RuntimeError):  # its name is too long, or it begins with a user who isn't there
        is_usable = False
    if not is_usable:
        raise click.ClickException(
            f"DAGSTER_HOME is {home!r}; it must be the absolute path of an existing folder."
        )
    return folder


def load_coordinator() -> CLTQueuedRunCoordinator:
    """Load the coordinator that `dagster.yaml` names, without opening the instance's database.

    ClickException if it can't be loaded, or isn't this package's.
    """
    file = dagster_home() / "dagster.yaml"
    try:
        ref = InstanceRef.from_dir(str(file.parent))
        coordinator = ref.run_coordinator
        if isinstance(coordinator, CLTQueuedRunCoordinator):
            concurrency: Any = ref.settings.get("concurrency")
            coordinator.settings.refuse_unfit((concurrency or {}).get("runs") or {})
            return coordinator
    except Exception as error:
        raise click.ClickException(
            f"The run coordinator in {file} can't be loaded by {sys.executable}: {describe(error)}"
        ) from error
    own = CLTQueuedRunCoordinator
    raise click.ClickException(
        f"The run coordinator in {file} is {type(coordinator).__name__}; name the module {own.__module__} and the"
        f" class {own.__name__} there."
    )


def get_instance() -> tuple[DagsterInstance, CLTQueuedRunCoordinator]:
    """The open instance, to be closed by the caller, and its coordinator; else ClickException."""
    load_coordinator()
    instance = open_any_instance()
    coordinator = instance.run_coordinator
    assert isinstance(coordinator, CLTQueuedRunCoordinator)  # noqa: S101 - the same class was loaded above
    return instance, coordinator


def open_any_instance() -> DagsterInstance:
    """The open instance, whatever its run coordinator; else ClickException."""
    home = dagster_home()
    if not db.event.contains(db.Engine, "do_connect", _connect):
        db.event.listen(db.Engine, "do_connect", _connect)
    _tries.clear()
    try:
        instance = DagsterInstance.get()
        _ = instance.run_coordinator  # loads it
    except Exception as error:
        raise click.ClickException(f"The instance in {home} can't be opened: {describe(error)}") from error
    return instance


@contextmanager
def open_instance() -> Iterator[tuple[DagsterInstance, CLTQueuedRunCoordinator]]:
    """The open instance and its coordinator; see `get_instance`."""
    instance, coordinator = get_instance()
    with instance:
        yield instance, coordinator


def read_queue(instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator) -> now.Now:
    """The queue; reports live changes that can't be read on standard error."""
    queue = now.read(instance, coordinator.settings)
    echo(*queue.state.live.unreadable, err=True)
    return queue


_tries: list[float] = []
"""When this program tried to connect, since it last could; `time.monotonic`."""


def _connect(dialect: db.Dialect, _record: object, arguments: Any, options: dict[str, Any]) -> Any:
    """Connect to PostgreSQL with the time-outs that the instance doesn't set; None for another database.

    ClickException if it has been tried for too long.
    """
    if dialect.name != "postgresql":
        return None
    for name, value in TIMEOUTS.items():
        options.setdefault(name, value)
    options["connect_timeout"] = min(int(options["connect_timeout"]), TIMEOUTS["connect_timeout"])
    _tries.append(time.monotonic())
    try:
        connection = dialect.connect(*arguments, **options)
    except Exception as error:
        if time.monotonic() - _tries[0] > PATIENCE_SECONDS:
            where = options.get("host", "its address")
            raise click.ClickException(f"the database at {where} doesn't answer: {describe(error)}") from error
        raise
    _tries.clear()
    return connection
