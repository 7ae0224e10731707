"""Writes a live change together with its entry in the history, in one transaction."""

import getpass
import json
import os
import socket
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance
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
from clt_queued_run_coordinator.store import database_clock, document, history
from clt_queued_run_coordinator.store.live_reading import has_expired, parse
from clt_queued_run_coordinator.store.transaction import transaction
from clt_queued_run_coordinator.text.safe import one_line

LOCK_KEY = f"{PREFIX}.turn"
"""The key that each writer writes first, which locks out other writers until the end of its transaction."""

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
    instance: DagsterInstance,
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
    and stays stored only while it excepts a code location from a pause of all. What has expired is deleted.
    Of two expiring pauses the one that ends later is in force, so that a short pause for a deploy never cuts
    somebody's longer pause short. Of two expiring limits the last one is in force.

    Args:
        instance: The instance.
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
    with transaction(instance) as connection:
        number = uuid.uuid4().hex
        # From here on writers proceed one by one, so that the history has their order.
        document.put(connection, {LOCK_KEY: number})
        stored = document.read_texts(connection, f"{PREFIX}/")
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
        before = parse(stored.items(), at)
        left = {key: text for key, text in stored.items() if not has_expired(key, text, at)}
        for name in {code_location, *known}:
            for ended in _takes_back(kind, value):
                left.pop(f"{ended.value}/{name}", None)
            if value is not None and not _is_outlasted(kind, name, change, before):
                left[f"{kind.value}/{name}"] = json.dumps({"value": value, **_as_data(change)})
        after = parse(left.items(), at)
        if after.pause(EVERY_CODE_LOCATION) is None:
            resumed = {f"{Kind.PAUSED.value}/{name}" for name, pause in after.pauses.items() if not pause.value}
            left = {key: text for key, text in left.items() if key not in resumed}
        document.put(connection, {f"{PREFIX}/{key}": left[key] for key in left if left[key] != stored.get(key)})
        document.delete(connection, [f"{PREFIX}/{key}" for key in stored.keys() - left.keys()])
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


def _takes_back(kind: Kind, value: int | bool | None) -> list[Kind]:
    """The kinds that a change removes: an expiring one of its sort, and its own if it takes one back."""
    kinds = {Kind.LIMIT: [Kind.LIMIT_UNTIL], Kind.PAUSED: [Kind.PAUSED_UNTIL]}.get(kind, [])
    if kind is Kind.PAUSED and not value:
        return [*kinds, Kind.BREAKER]
    return [*kinds, kind] if value is None else kinds


def _as_data(change: Change) -> dict[str, Any]:
    data = {"by": change.by, "at": change.at.isoformat(), "id": change.id}
    if change.until:
        data["until"] = change.until.isoformat()
    if change.reason:
        data["reason"] = change.reason
    return data


def _is_outlasted(kind: Kind, code_location: str, change: Change, stored: LiveChanges) -> bool:
    other = stored.pauses_until.get(code_location) if kind is Kind.PAUSED_UNTIL else None
    return bool(other and other.until and change.until and other.until > change.until)


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
