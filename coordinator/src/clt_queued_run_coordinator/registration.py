"""The coordinator's registration with its instance, for the threads that come meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
    def running(self) -> Iterator[None]:
        """The time in which the coordinator is registered; a ConfigurationError is kept for those who wait."""
        try:
            yield
        except ConfigurationError as refusal:
            self._refusal = str(refusal)
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
