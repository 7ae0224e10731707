"""When the daemon last read the queue, for others to see: kept in a key of its own, which is short.

Dagster's own heartbeat of its daemon goes on where each tick fails. This is written only behind a tick that has
read what it needed, and at most every few seconds, so that idling costs next to nothing.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, KeyValueStoreTable

KEY = "clt_queued_run_coordinator.last_tick"

STORE_INTERVAL_SECONDS = 10.0
"""The seconds between two writes, where ticks are more frequent."""


@dataclass(frozen=True)
class LastTick:
    """The last tick that was stored.

    Attributes:
        at: When it had read what it needed, by the daemon's clock, in seconds since 1970.
        reading_seconds: How long this package's part of it took: its reading of the database, and choosing the
            runs. Dagster's own reading of the runs in progress and the launches are no part of it.
    """

    at: float
    reading_seconds: float


def read(connection: db.Connection) -> LastTick | None:
    """The last tick as it is stored; None where there is none or it can't be understood.

    Args:
        connection: To the instance's run database.
    """
    query = db.select(KeyValueStoreTable.c.value).where(KeyValueStoreTable.c.key == KEY)
    text = connection.execute(query).scalar()
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
