"""Live changes: limits and pauses kept in the instance's own database, in force from the next tick.

Each change has a key of its own in Dagster's key-value store, because two writers of one key lose one of the
two changes: `<PREFIX>/limit/<code location>` and `<PREFIX>/paused/<code location>`. The store has no delete, so
a change is taken back by writing null over it.
"""

import getpass
import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, KeyValueStoreTable

PREFIX = "clt_queued_run_coordinator"
EVERY_CODE_LOCATION = "*"
"""Stands for every code location that has no pause or resume of its own."""


@dataclass(frozen=True)
class Change:
    """One live change.

    Attributes:
        value: The limit, or whether the code location is paused.
        by: Who made it: the operating system's user, and the host.
        at: When, in UTC.
    """

    value: int
    by: str
    at: datetime


@dataclass(frozen=True)
class LiveChanges:
    """Every live change in force.

    Attributes:
        limits: By code location.
        pauses: By code location, resumed ones included.
        unreadable: A line for each stored value that could not be understood and is not applied.
    """

    limits: Mapping[str, Change] = field(default_factory=dict)
    pauses: Mapping[str, Change] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    def limit(self, code_location: str) -> Change | None:
        """The limit set live, if one is."""
        return self.limits.get(code_location)

    def pause(self, code_location: str) -> Change | None:
        """The pause that holds a code location, if one does."""
        change = self.pauses.get(code_location) or self.pauses.get(EVERY_CODE_LOCATION)
        return change if change and change.value else None

    @property
    def code_locations(self) -> set[str]:
        """The names that a change was made for."""
        return (set(self.limits) | set(self.pauses)) - {EVERY_CODE_LOCATION}


def read(connection: db.Connection) -> LiveChanges:
    """The live changes that are stored.

    Args:
        connection: To the instance's run database.
    """
    key, value = KeyValueStoreTable.c.key, KeyValueStoreTable.c.value
    rows = connection.execute(db.select(key, value).where(key.like(f"{PREFIX}/%"))).all()
    return parse((key, value) for key, value in rows)


def parse(stored: Iterable[tuple[str, str]]) -> LiveChanges:
    """Understand what is stored; what can't be understood is told in `unreadable`.

    Args:
        stored: Pairs of key and value under PREFIX.
    """
    limits: dict[str, Change] = {}
    pauses: dict[str, Change] = {}
    unreadable: list[str] = []
    for key, text in stored:
        kind, _, code_location = key.removeprefix(f"{PREFIX}/").partition("/")
        try:
            change = _change(kind, json.loads(text))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            unreadable.append(
                f"The live change stored under {key!r} can't be read ({type(error).__name__}: {error}) and is not"
                " applied; write it again with `dagster-clt`."
            )
            continue
        if change:
            (limits if kind == "limit" else pauses)[code_location] = change
    return LiveChanges(limits, pauses, tuple(unreadable))


def _change(kind: str, stored: Any) -> Change | None:
    value = stored["value"]
    if value is None:
        return None
    if kind == "limit":
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{value!r} is not a limit")
    elif kind == "paused":
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is neither true nor false")
    else:
        raise ValueError(f"{kind!r} is not a kind of change")
    return Change(value=int(value), by=str(stored["by"]), at=datetime.fromisoformat(stored["at"]))


def set_limit(instance: DagsterInstance, code_location: str, limit: int) -> None:
    """Limit a code location from the next tick on; 0 holds it."""
    _write(instance, "limit", code_location, limit)


def clear_limit(instance: DagsterInstance, code_location: str) -> None:
    """Go back to the configured limit."""
    _write(instance, "limit", code_location, None)


def pause(instance: DagsterInstance, code_location: str) -> None:
    """Start nothing of a code location from the next tick on; runs in progress are left alone."""
    _write(instance, "paused", code_location, True)


def resume(instance: DagsterInstance, code_location: str) -> None:
    """End a pause: the limit from before holds again."""
    _write(instance, "paused", code_location, False)


def _write(instance: DagsterInstance, kind: str, code_location: str, value: int | bool | None) -> None:
    change = {"value": value, "by": _who(), "at": datetime.now(timezone.utc).isoformat(timespec="seconds")}
    # One key a write: on SQLite a write of several loses the new ones where one exists already.
    instance.daemon_cursor_storage.set_cursor_values({f"{PREFIX}/{kind}/{code_location}": json.dumps(change)})


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's numbered user has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
