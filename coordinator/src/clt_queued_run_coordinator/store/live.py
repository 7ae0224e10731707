"""Live changes: limits and pauses that are stored in the instance's database and in force from the next tick.

Each change has a key of its own in Dagster's key-value store, `<PREFIX>/<kind>/<code location>`, because of two
writers of one key one would lose its change. A change that expires is stored beside the one that doesn't, under a
kind of its own. So the other one is in force again afterwards, and version 2.0.0 of this package can read it.
"""

from clt_queued_run_coordinator.policy.changes import (
    EVERY_CODE_LOCATION,
    PREFIX,
    Change,
    EndHasPassedError,
    Kind,
    LiveChanges,
    iso,
)
from clt_queued_run_coordinator.store.live_reading import parse, read
from clt_queued_run_coordinator.store.live_writing import LOCK_KEY, clear_limit, pause, resume, set_limit, write

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
