"""Writes a live change together with its entry in the history, in one transaction."""

import getpass
import json
import os
import socket
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as db
from sqlalchemy.dialects import postgresql, sqlite

from clt_queued_run_coordinator._dagster import DagsterInstance, KeyValueStoreTable
from clt_queued_run_coordinator.policy.changes import (
    EVERY_CODE_LOCATION,
    PREFIX,
    Change,
    EndHasPassedError,
    Kind,
    LiveChanges,
    has_ended,
    iso,
)
from clt_queued_run_coordinator.store import database_clock, history
from clt_queued_run_coordinator.store.live_reading import parse
from clt_queued_run_coordinator.store.transaction import transaction
from clt_queued_run_coordinator.text.safe import one_line

LOCK_KEY = f"{PREFIX}.turn"
"""The key that each writer writes first, which locks out other writers until the end of its transaction."""

_TAKES_BACK = {
    Kind.LIMIT: [Kind.LIMIT_UNTIL],
    Kind.PAUSED: [Kind.PAUSED_UNTIL],
}
"""The expiring kind that a change without an expiry removes."""

_CHANGES = {
    Kind.LIMIT: "limit",
    Kind.LIMIT_UNTIL: "limit",
    Kind.PAUSED: "paused",
    Kind.PAUSED_UNTIL: "paused",
    Kind.BREAKER: "breaker",
}
"""The kinds as the history names them."""


def set_limit(
    instance: DagsterInstance,
    code_location: str,
    limit: int,
    until: datetime | timedelta | None = None,
    reason: str | None = None,
    *,
    by: str | None = None,
) -> Change:
    """Limit a code location from the next tick on; 0 starts none of its runs. See `write`."""
    kind = Kind.LIMIT if until is None else Kind.LIMIT_UNTIL
    return write(instance, kind, code_location, limit, until=until, reason=reason, by=by)


def clear_limit(
    instance: DagsterInstance, code_location: str, reason: str | None = None, *, by: str | None = None
) -> Change:
    """Return to the configured limit. See `write`."""
    return write(instance, Kind.LIMIT, code_location, None, reason=reason, by=by)


def pause(
    instance: DagsterInstance,
    code_location: str,
    until: datetime | timedelta | None = None,
    reason: str | None = None,
    known: Iterable[str] = (),
    *,
    by: str | None = None,
) -> Change:
    """Start no runs of a code location from the next tick on. Runs in progress are left alone. See `write`."""
    kind = Kind.PAUSED if until is None else Kind.PAUSED_UNTIL
    return write(instance, kind, code_location, True, until=until, reason=reason, by=by, known=known)


def resume(
    instance: DagsterInstance,
    code_location: str,
    reason: str | None = None,
    known: Iterable[str] = (),
    *,
    by: str | None = None,
) -> Change:
    """End a pause and close the circuit breaker, so that the previous limit is in force again. See `write`."""
    return write(instance, Kind.PAUSED, code_location, False, reason=reason, by=by, known=known)


def write(
    where: DagsterInstance | db.Connection,
    kind: Kind,
    code_location: str,
    value: int | bool | None,
    *,
    until: datetime | timedelta | None = None,
    reason: str | None = None,
    by: str | None = None,
    known: Iterable[str] = (),
) -> Change:
    """Write a live change and its entry in the history, both or neither.

    A change that doesn't expire removes one of the same sort that does. A resume also closes the circuit breaker,
    and is stored only where it excepts a code location from a pause of all.
    Of two expiring pauses the one that ends later is in force, so that a short pause for a deploy never cuts
    somebody's longer pause short. Of two expiring limits the last one is in force.

    Args:
        where: The instance, or a connection to its run database in the caller's transaction.
        kind: What is changed, and whether the change expires.
        code_location: The code location; `EVERY_CODE_LOCATION` for all.
        value: The limit, or whether it is paused or its breaker is open. None removes a change.
        until: When it expires, in UTC. A timedelta counts from now, by the database's clock.
        reason: The reason.
        by: Who makes it; by default this process's user.
        known: With EVERY_CODE_LOCATION: the code locations whose own pause or resume must not override it.

    Returns:
        The change.

    Raises:
        EndHasPassedError: The end has already passed.
    """
    with _connected(where) as connection:
        number = uuid.uuid4().hex
        # From here on writers proceed one by one, so that the history has their order.
        _put(connection, [LOCK_KEY], number)
        names = sorted({code_location, *known})
        stored = _stored(
            connection, [_key(any_kind, name) for name in {*names, EVERY_CODE_LOCATION} for any_kind in Kind]
        )
        at = database_clock.moment(connection.execute(db.select(database_clock.now())).scalar_one())
        change = Change(
            value=int(value or 0),
            by=by or _who(),
            at=at,
            until=at + until if isinstance(until, timedelta) else until,
            reason=one_line(reason) if reason else None,
            id=number,
        )
        if has_ended(change, at):
            raise EndHasPassedError(
                f"The end {iso(change.until)} has passed; by the database's clock it is now {iso(at)}."
            )
        ends = _TAKES_BACK.get(kind, [])
        if kind is Kind.PAUSED and not value:
            ends = [*ends, Kind.BREAKER]
        taken_back = [_key(ended, name) for name in names for ended in ends]
        before = parse(stored.items(), at)
        written = [_key(kind, name) for name in names if not _is_outlasted(kind, name, change, before)]
        if value is None or (kind is Kind.PAUSED and not value and not _excepts(code_location, before)):
            taken_back += written
        elif written:
            _put(connection, written, json.dumps({"value": value, **_as_data(change)}))
        gone = [key for key in taken_back if key in stored]
        if gone:
            connection.execute(KeyValueStoreTable.delete().where(KeyValueStoreTable.c.key.in_(gone)))
        history.record(
            connection,
            change.id,
            history.HistoryEntry(
                at=at.isoformat(),
                by=change.by,
                code_location=code_location,
                change=_CHANGES[kind],
                before=_value(kind, code_location, before),
                after=value,
                until=iso(change.until),
                reason=change.reason,
            ),
        )
    return change


@contextmanager
def _connected(where: DagsterInstance | db.Connection) -> Iterator[db.Connection]:
    if isinstance(where, db.Connection):
        yield where
    else:
        with transaction(where) as connection:
            yield connection


def _key(kind: Kind, code_location: str) -> str:
    return f"{PREFIX}/{kind.value}/{code_location}"


def _as_data(change: Change) -> dict[str, Any]:
    data = {"by": change.by, "at": change.at.isoformat(), "id": change.id}
    if change.until:
        data["until"] = change.until.isoformat()
    if change.reason:
        data["reason"] = change.reason
    return data


def _stored(connection: db.Connection, keys: list[str]) -> dict[str, str]:
    table = KeyValueStoreTable
    query = db.select(table.c.key, table.c.value).where(table.c.key.in_(keys))
    return {str(key): str(value) for key, value in connection.execute(query).all()}


def _put(connection: db.Connection, keys: list[str], value: str) -> None:
    statement: postgresql.Insert | sqlite.Insert
    if connection.dialect.name == "postgresql":
        statement = postgresql.insert(KeyValueStoreTable)
    else:
        statement = sqlite.insert(KeyValueStoreTable)
    put = statement.on_conflict_do_update(
        index_elements=[KeyValueStoreTable.c.key], set_={"value": statement.excluded.value}
    )
    connection.execute(put, [{"key": key, "value": value} for key in keys])


def _is_outlasted(kind: Kind, code_location: str, change: Change, stored: LiveChanges) -> bool:
    other = stored.pauses_until.get(code_location) if kind is Kind.PAUSED_UNTIL else None
    return bool(other and other.until and change.until and other.until > change.until)


def _excepts(code_location: str, stored: LiveChanges) -> bool:
    """Whether a resume has to be stored, because it excepts a code location from a pause of all."""
    return code_location != EVERY_CODE_LOCATION and stored.pause(EVERY_CODE_LOCATION) is not None


def _value(kind: Kind, code_location: str, stored: LiveChanges) -> int | bool | None:
    """The current live value of what a change is about to change."""
    if kind is Kind.BREAKER:
        return True if stored.breaker(code_location) else None
    if kind in {Kind.LIMIT, Kind.LIMIT_UNTIL}:
        limit = stored.limit(code_location)
        return limit.value if limit else None
    pause = stored.pauses_until.get(code_location) or stored.pauses.get(code_location)
    return bool(pause.value) if pause else None


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # in a container, the user may be a number without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
