"""How many runs of each code location are queued, left by the daemon at each tick for those who submit runs.

To count the runs of one code location takes longer the more runs others have queued, and the daemon knows their
number at each tick. It is old when somebody reads it; what was queued since can be told by when it was changed.
Written only where `max_queued` is configured, in one key of Dagster's key-value store.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, KeyValueStoreTable

KEY = "clt_queued_run_coordinator.queued"


@dataclass(frozen=True)
class PublishedCounts:
    """What the daemon counted at one tick.

    Attributes:
        newest: When the run that was changed last of all queued ones was changed, as the database has it.
        queued: The queued runs of each code location that has any.
    """

    newest: datetime
    queued: Mapping[str, int]


def publish(instance: DagsterInstance, counts: PublishedCounts) -> None:
    """Leave counts."""
    data = {"newest": counts.newest.isoformat(), "queued": dict(counts.queued)}
    instance.daemon_cursor_storage.set_cursor_values({KEY: json.dumps(data)})


def read(connection: db.Connection) -> PublishedCounts | None:
    """What the daemon left last; None where it has left nothing, or nothing that can be understood.

    Args:
        connection: To the instance's run database.
    """
    query = db.select(KeyValueStoreTable.c.value).where(KeyValueStoreTable.c.key == KEY)
    text = connection.execute(query).scalar()
    try:
        data: Any = json.loads(text) if text else None
        newest = datetime.fromisoformat(data["newest"])
        queued = {str(name): int(number) for name, number in data["queued"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None
    # A moment with a time zone isn't the database's, and can't be compared with it.
    return (
        None if newest.tzinfo or any(number < 0 for number in queued.values()) else PublishedCounts(newest, queued)
    )
