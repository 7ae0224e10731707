"""The pauses that the daemon has acknowledged, which `dagster-clt drain` waits for.

A tick that is running when a pause is written may still start runs that it chose before. Once the daemon has begun
a tick with the pause, it starts nothing more of the paused code location. So the daemon stores each pause that is
new at the beginning of a tick. If there is no new pause, nothing is written.
"""

from collections.abc import Iterable

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.config import plain_data
from clt_queued_run_coordinator.store import document

KEY = "clt_queued_run_coordinator.pauses_seen"


def write(instance: DagsterInstance, pauses: Iterable[str]) -> None:
    """Store the ids of the pauses that the daemon has begun a tick with."""
    document.write(instance, KEY, sorted(pauses))


def read(connection: db.Connection) -> set[str]:
    """The ids of the pauses that the daemon has begun a tick with. Only recent ones are stored."""
    return set(plain_data.read(list[str], document.read(connection, KEY)) or ())
