"""The number of queued runs of each code location, which the daemon publishes at its ticks for submits to read.

Counting the runs of one code location takes longer the more runs the others have queued, and the daemon knows the
numbers at each tick anyway. They are slightly out of date when a submit reads them; what was queued since can be
counted by its time of change. The counts are one key of Dagster's key-value store, written only where `max_queued`
is configured.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.store.document import read_text

KEY = "clt_queued_run_coordinator.queued"


@dataclass(frozen=True)
class PublishedCounts:
    """What the daemon counted at one tick.

    Attributes:
        newest: The time of the most recent change to a queued run, as the database has it.
        queued: The number of queued runs of each code location that has any.
    """

    newest: datetime
    queued: Mapping[str, int]


def publish(instance: DagsterInstance, counts: PublishedCounts) -> None:
    """Publish counts."""
    data = {"newest": counts.newest.isoformat(), "queued": dict(counts.queued)}
    instance.daemon_cursor_storage.set_cursor_values({KEY: json.dumps(data)})


def read(connection: db.Connection) -> PublishedCounts | None:
    """The counts that were published last; None if there are none or they can't be read.

    Args:
        connection: To the instance's run database.
    """
    text = read_text(connection, KEY)
    try:
        data: Any = json.loads(text) if text else None
        newest = datetime.fromisoformat(data["newest"])
        queued = {str(name): int(number) for name, number in data["queued"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None
    # The database's timestamps have no time zone. One that has can't be compared with them.
    return (
        None if newest.tzinfo or any(number < 0 for number in queued.values()) else PublishedCounts(newest, queued)
    )
