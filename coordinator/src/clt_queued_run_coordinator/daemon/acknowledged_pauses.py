"""Which pauses the daemon goes by: what `dagster-clt drain` waits for.

A tick that was running when a pause was written may still start what it has chosen before. Once the daemon has
begun a tick with the pause it starts nothing more of what is paused. So each pause that is new at the beginning
of a tick is written down, in one key of Dagster's key-value store; where nothing is paused nothing is written.
"""

import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, KeyValueStoreTable

KEY = "clt_queued_run_coordinator.pauses_seen"


def write(instance: DagsterInstance, pauses: Iterable[str]) -> None:
    """Keep which pauses the daemon's tick goes by.

    Args:
        instance: The daemon's.
        pauses: Their ids.
    """
    instance.daemon_cursor_storage.set_cursor_values({KEY: json.dumps(sorted(pauses))})


def read(connection: db.Connection) -> set[str]:
    """The ids of the pauses that the daemon has begun a tick with, of those that were in force lately.

    Args:
        connection: To the instance's run database.
    """
    query = db.select(KeyValueStoreTable.c.value).where(KeyValueStoreTable.c.key == KEY)
    text = connection.execute(query).scalar()
    try:
        pauses: Any = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return set()
    return {pause for pause in pauses if isinstance(pause, str)} if isinstance(pauses, list) else set()
