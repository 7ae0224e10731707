"""Live changes: limits and pauses kept in the instance's own database, in force from the next tick.

Each change has a key of its own in Dagster's key-value store, because two writers of one key lose one of the
two changes: `<PREFIX>/<kind>/<code location>`. What ends by itself lies beside what doesn't, under a kind of its
own, so that what held before holds again afterwards, and version 2.0.0 of this package can read the rest.
"""

from clt_queued_run_coordinator.live.changes import (
    EVERY_CODE_LOCATION,
    PREFIX,
    Change,
    EndHasPassedError,
    Kind,
    LiveChanges,
    iso,
)
from clt_queued_run_coordinator.live.reading import parse, read
from clt_queued_run_coordinator.live.writing import LOCK_KEY, clear_limit, pause, resume, set_limit, write

__all__ = [
    "EVERY_CODE_LOCATION",
    "LOCK_KEY",
    "PREFIX",
    "Change",
    "EndHasPassedError",
    "Kind",
    "LiveChanges",
    "clear_limit",
    "iso",
    "parse",
    "pause",
    "read",
    "resume",
    "set_limit",
    "write",
]
