"""The coordinator's registration with its instance: what is refused, and the threads that come meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.config.kinds import ConfigurationError

TIMEOUT_SECONDS = 30
"""How long a thread waits for another one that registers the coordinator, which takes milliseconds."""


class Registration:
    """Whether the coordinator knows its instance, or has refused it.

    Dagster stores a new coordinator on the instance first and registers it then, without a lock
    (`DagsterInstance.run_coordinator`). So of the first launches in a webserver, one may get a coordinator that
    another thread is still registering, or that has refused the instance.
    """

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._refusal: str | None = None

    @contextmanager
    def running(self, instance: DagsterInstance) -> Iterator[None]:
        """The time in which the coordinator is registered; a ConfigurationError is kept for those who wait."""
        try:
            yield
        except ConfigurationError as refusal:
            self._refusal = str(refusal)
            # Left there, the coordinator would be taken by the next launch.
            instance._run_coordinator = None  # type: ignore[assignment]  # noqa: SLF001
            raise
        finally:
            self._ended.set()

    def wait(self) -> None:
        """Wait until the registration has ended, at most TIMEOUT_SECONDS.

        Raises:
            ConfigurationError: The coordinator has refused the instance.
        """
        self._ended.wait(TIMEOUT_SECONDS)
        if self._refusal is not None:
            raise ConfigurationError(self._refusal)


def refuse_unsupported_storage(run_storage: object) -> None:
    """Refuse a run storage that the limits can't work with.

    It is recognized by the names of its classes, so that no storage library has to be imported.

    Raises:
        ConfigurationError: It is MySQL's, or no SQL storage at all.
    """
    classes = type(run_storage).__mro__
    cure = "use PostgreSQL with dagster-postgres, or SQLite for a trial."
    if any(of.__module__.partition(".")[0] == "dagster_mysql" for of in classes):
        raise ConfigurationError(
            f"MySQL (dagster-mysql, the run storage {classes[0].__name__}) is not supported: its key-value store"
            " compares only the first 64 characters of a key, so live changes to code locations with long names"
            f" could overwrite each other, and this package isn't tested on it; {cure}"
        )
    if not any(of.__name__ == "SqlRunStorage" for of in classes):
        raise ConfigurationError(
            f"The run storage {classes[0].__module__}.{classes[0].__qualname__} is not supported: it is not a"
            " subclass of Dagster's SqlRunStorage, and the runs of each code location are counted with SQL;"
            f" {cure}"
        )
