"""The daemon's state, stored so that it survives a restart and others can read it.

It is one key of Dagster's key-value store. The key is outside the prefix of the live changes, where version 2.0.0
of this package would not understand it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.policy.credit import Credit
from clt_queued_run_coordinator.store.document import read_text

KEY = "clt_queued_run_coordinator.daemon"


@dataclass(frozen=True)
class DaemonState:
    """The state that the daemon last stored.

    Attributes:
        narrowed: Whether the daemon was shown only the runs that may start; None before its first tick.
        credit: The credit of each code location and group at that time; empty if sharing isn't fair.
    """

    narrowed: bool | None = None
    credit: Credit = field(default_factory=Credit)


def read(connection: db.Connection) -> DaemonState:
    """The stored state; an empty one if there is none or it can't be read.

    Args:
        connection: To the instance's run database.
    """
    text = read_text(connection, KEY)
    try:
        data: Any = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        data = {}
    if not isinstance(data, Mapping):
        return DaemonState()
    narrowed = data.get("narrowed")
    return DaemonState(narrowed if isinstance(narrowed, bool) else None, Credit.from_data(data.get("credit")))


def write(instance: DagsterInstance, state: DaemonState) -> None:
    """Store the state."""
    data = {"narrowed": state.narrowed, "credit": state.credit.as_data()}
    instance.daemon_cursor_storage.set_cursor_values({KEY: json.dumps(data)})
