"""Opens the instance that a command works on, found through DAGSTER_HOME as the `dagster` command does."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterInstance, InstanceRef, RunCoordinator
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator, refuse_unfit_limits
from clt_queued_run_coordinator.text.safe import describe


class OpeningError(Exception):
    """The instance or its coordinator can't be opened. The message is one line with the cause and the cure."""


def dagster_home() -> Path:
    """The folder that DAGSTER_HOME names.

    Raises:
        OpeningError: DAGSTER_HOME is not set, or is not the absolute path of a folder.
    """
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        raise OpeningError("DAGSTER_HOME is not set; set it to the folder that holds the instance's dagster.yaml.")
    folder = Path(home).expanduser()
    if not folder.is_absolute() or not folder.is_dir():
        raise OpeningError(f"DAGSTER_HOME is {home!r}; it must be the absolute path of an existing folder.")
    return folder


def load_coordinator() -> RunCoordinator[DagsterInstance]:
    """Load the coordinator that `dagster.yaml` names, without opening the instance's database.

    Raises:
        OpeningError: It can't be loaded.
    """
    file = dagster_home() / "dagster.yaml"
    try:
        ref = InstanceRef.from_dir(str(file.parent))
        coordinator = ref.run_coordinator
        if isinstance(coordinator, CLTQueuedRunCoordinator):
            concurrency: Any = ref.settings.get("concurrency")
            refuse_unfit_limits(coordinator, (concurrency or {}).get("runs") or {})
    except Exception as error:
        raise OpeningError(
            f"The run coordinator in {file} can't be loaded by {sys.executable}: {describe(error)}"
        ) from error
    if coordinator is None:
        raise OpeningError(f"{file} names no run coordinator.")
    return coordinator


@contextmanager
def opened_instance() -> Iterator[tuple[DagsterInstance, CLTQueuedRunCoordinator]]:
    """The open instance and its coordinator.

    Raises:
        OpeningError: They can't be opened, or the coordinator isn't this package's.
    """
    coordinator = load_coordinator()
    if not isinstance(coordinator, CLTQueuedRunCoordinator):
        raise OpeningError(
            f"The run coordinator of {dagster_home()} is {type(coordinator).__name__}; name the module"
            f" {CLTQueuedRunCoordinator.__module__} and the class {CLTQueuedRunCoordinator.__name__} in its"
            " dagster.yaml."
        )
    try:
        instance = DagsterInstance.get()
        loaded = instance.run_coordinator
    except Exception as error:
        raise OpeningError(f"The instance in {dagster_home()} can't be opened: {describe(error)}") from error
    with instance:
        assert isinstance(loaded, CLTQueuedRunCoordinator)  # noqa: S101 - the same class was loaded above
        yield instance, loaded
