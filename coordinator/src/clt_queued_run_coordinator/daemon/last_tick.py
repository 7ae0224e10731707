"""When the daemon last read the queue, stored under a key of its own for others to see.

Dagster's heartbeats of the daemon continue even if every tick fails. This key is written only after a tick has
read all it needed, and at most every few seconds, so that an idle daemon costs next to nothing.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.store.document import read_text

KEY = "clt_queued_run_coordinator.last_tick"

STORE_INTERVAL_SECONDS = 10.0
"""The least time between two writes, in seconds."""


@dataclass(frozen=True)
class LastTick:
    """The last tick that was stored.

    Attributes:
        at: When it had read all it needed, by the daemon's clock, in seconds since 1970.
        reading_seconds: How long this package's part of the tick took: reading the database and choosing the runs.
            Dagster's own reading of the runs in progress and the launches are not included.
    """

    at: float
    reading_seconds: float


def read(connection: db.Connection) -> LastTick | None:
    """The last tick as stored; None if there is none or it can't be read.

    Args:
        connection: To the instance's run database.
    """
    text = read_text(connection, KEY)
    try:
        data: Any = json.loads(text) if text else {}
        tick = LastTick(float(data["at"]), float(data["reading_seconds"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return tick if math.isfinite(tick.at) and math.isfinite(tick.reading_seconds) else None


def write(instance: DagsterInstance, tick: LastTick) -> None:
    """Store a tick."""
    data = {"at": round(tick.at, 3), "reading_seconds": round(tick.reading_seconds, 6)}
    instance.daemon_cursor_storage.set_cursor_values({KEY: json.dumps(data)})
