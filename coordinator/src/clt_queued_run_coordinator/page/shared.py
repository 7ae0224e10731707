"""One reading at a time, and at most one in two seconds, for everybody who looks."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from clt_queued_run_coordinator.text.safe import describe

T = TypeVar("T")

EVERY_SECONDS = 2.0
"""A reading that began this recently is shown as it is."""

PATIENCE_SECONDS = 0.1
"""How long somebody waits for a newer reading where there is one that isn't old to show."""

OLD_SECONDS = 10.0
"""A reading that is older than this isn't of now any more."""

PATIENCE_WITH_OLD_SECONDS = 3.0
"""How long somebody waits where there is only an old one: nobody may have looked for a while."""

LONGEST_SECONDS = 10.0
"""How long somebody waits where there is nothing to show, or where what they changed must be in it."""


@dataclass(frozen=True)
class Reading(Generic[T]):
    """What was read.

    Attributes:
        value: What the last reading that succeeded has read; None if none has.
        read_at: When that one began, by this process's monotonic clock.
        error: Why the last reading failed, in one line; empty if it didn't.
    """

    value: T | None = None
    read_at: float = 0.0
    error: str = ""

    @property
    def age(self) -> float:
        """How old the value is, in seconds."""
        return time.monotonic() - self.read_at


class Shared(Generic[T]):
    """Reads something in a thread, and shows the last picture of it while that takes long or fails."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._changed = threading.Condition()
        self._latest: Reading[T] = Reading()
        self._began = self._wanted = float("-inf")
        self._is_reading = False

    def outdate(self) -> None:
        """Let nobody see a reading that began before this moment."""
        with self._changed:
            self._wanted = time.monotonic()

    def get(self) -> Reading[T]:
        """The newest reading there is, after a short wait for one that is new enough."""
        asked = time.monotonic()
        with self._changed:
            least = max(asked - EVERY_SECONDS, self._wanted)
            must_wait = self._latest.value is None or self._latest.read_at < self._wanted
            patience = PATIENCE_WITH_OLD_SECONDS if self._latest.age > OLD_SECONDS else PATIENCE_SECONDS
            end = asked + (LONGEST_SECONDS if must_wait else patience)
            while self._began < least:
                if not self._is_reading:
                    self._is_reading = True
                    threading.Thread(target=self._run, args=(time.monotonic(),), daemon=True).start()
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            if self._latest.value is None and not self._latest.error:
                return Reading(error=f"the database has not answered within {LONGEST_SECONDS:g} s")
            return self._latest

    def _run(self, began: float) -> None:
        try:
            latest = Reading(self._read(), began)
        except BaseException as error:  # noqa: BLE001 - whoever looks is told
            latest = replace(self._latest, error=describe(error))
        with self._changed:
            self._latest, self._began, self._is_reading = latest, began, False
            self._changed.notify_all()
