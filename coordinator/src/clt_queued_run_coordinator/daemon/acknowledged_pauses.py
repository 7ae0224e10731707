"""The pauses that the daemon has acknowledged, which `dagster-clt drain` waits for.

A tick that is running when a pause is written may still start runs that it chose before. Once the daemon has begun
a tick with the pause, it starts nothing more of the paused code location. So the daemon stores each pause that is
new at the beginning of a tick, in one key of Dagster's key-value store. If there is no new pause, nothing is
written.
"""

import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.store.key_value_store import stored_value

KEY = "clt_queued_run_coordinator.pauses_seen"


def write(instance: DagsterInstance, pauses: Iterable[str]) -> None:
    """Store the pauses that the daemon has begun a tick with.

    Args:
        instance: The daemon's instance.
        pauses: The ids of the pauses.
    """
    instance.daemon_cursor_storage.set_cursor_values({KEY: json.dumps(sorted(pauses))})


def read(connection: db.Connection) -> set[str]:
    """The ids of the pauses that the daemon has begun a tick with. Only recent ones are stored.

    Args:
        connection: To the instance's run database.
    """
    text = stored_value(connection, KEY)
    try:
        pauses: Any = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return set()
    return {pause for pause in pauses if isinstance(pause, str)} if isinstance(pauses, list) else set()
