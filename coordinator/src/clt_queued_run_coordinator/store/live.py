"""Live changes: limits and pauses that are stored in the instance's database and in force from the next tick.

Each change has a key of its own in Dagster's key-value store, `<PREFIX>/<kind>/<code location>`, because of two
writers of one key one would lose its change. A change that expires is stored beside the one that doesn't, under a
kind of its own. So the other one is in force again afterwards, and version 2.0.0 of this package can read it.
"""

import getpass
import json
import os
import socket
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, TypedDict

import sqlalchemy as db
from typing_extensions import Unpack

from clt_queued_run_coordinator._dagster import DagsterInstance, KeyValueStoreTable, run_database
from clt_queued_run_coordinator.config import plain_data
from clt_queued_run_coordinator.policy.changes import (
    EVERY_CODE_LOCATION,
    PREFIX,
    Change,
    EndHasPassedError,
    Kind,
    LiveChanges,
    has_ended,
    iso,
    now,
)
from clt_queued_run_coordinator.store import database_clock, document, history
from clt_queued_run_coordinator.store.transaction import transaction
from clt_queued_run_coordinator.text.safe import one_line

LOCK_KEY = f"{PREFIX}.turn"
"""The key that each writer writes first, which locks out other writers until the end of its transaction."""

_THAT_ENDS = {Kind.LIMIT: Kind.LIMIT_UNTIL, Kind.PAUSED: Kind.PAUSED_UNTIL}
"""The kinds under which changes that expire are stored, where that isn't their own."""

End = datetime | timedelta | None
"""When a change expires, in UTC. A timedelta counts from now, by the database's clock."""


class How(TypedDict, total=False):
    """What a change is made with."""

    reason: str | None
    by: str | None
    """Who makes it; by default this process's user."""
    known: Iterable[str]
    """With EVERY_CODE_LOCATION: the code locations whose own pause or resume must not override it."""


def read(connection: db.Connection) -> LiveChanges:
    """Read the live changes in force, and the time by the database's clock, in one statement."""
    key, value = KeyValueStoreTable.c.key, KeyValueStoreTable.c.value
    moment = db.select(db.literal("").label("key"), database_clock.now(connection).label("value"))
    stored = db.select(key, value).where(key.like(f"{PREFIX}/%"))
    rows = {str(key): str(value) for key, value in connection.execute(db.union_all(moment, stored)).all()}
    return parse(rows.items(), database_clock.moment(rows.pop("")))


def parse(stored: Iterable[tuple[str, str]], read_at: datetime | None = None) -> LiveChanges:
    """Parse pairs of key and value under PREFIX; each one that can't be read is reported in `unreadable`.

    Changes that have expired by `read_at`, in UTC, are dropped. By default it is this machine's time.
    """
    read_at = read_at or now()
    changes: dict[Kind, dict[str, Change]] = {kind: {} for kind in Kind}
    unreadable: list[str] = []
    for key, text in stored:
        written_kind, _, code_location = key.removeprefix(f"{PREFIX}/").partition("/")
        try:
            kind = Kind(written_kind)
            change = _change(kind, json.loads(text))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            unreadable.append(
                f"The live change stored under {key!r} can't be read ({type(error).__name__}: {error}) and is not"
                " applied; make it again with `dagster-clt`."
            )
            continue
        if change and not has_ended(change, read_at):
            changes[kind][code_location] = change
    return LiveChanges(
        limits=changes[Kind.LIMIT],
        pauses=changes[Kind.PAUSED],
        unreadable=tuple(unreadable),
        limits_until=changes[Kind.LIMIT_UNTIL],
        pauses_until=changes[Kind.PAUSED_UNTIL],
        breakers=changes[Kind.BREAKER],
        read_at=read_at,
    )


def _change(kind: Kind, stored: Any) -> Change | None:
    value, until, reason = stored["value"], stored.get("until"), stored.get("reason")
    if value is None:
        return None
    if kind in {Kind.LIMIT, Kind.LIMIT_UNTIL}:
        is_value = plain_data.count(value) is not None
    else:
        is_value = value is True or (value is False and kind is Kind.PAUSED)
    if not is_value:
        raise ValueError(f"{value!r} is not a value of {kind.value}")
    if until is None and kind in _THAT_ENDS.values():
        raise ValueError("it has no end")
    by = one_line(str(stored["by"]))
    return Change(
        value=int(value),
        by=by,
        at=_moment(stored["at"]),
        until=None if until is None else _moment(until),
        reason=None if reason is None else one_line(str(reason)),
        id=str(stored.get("id") or f"{by} {stored['at']}"),
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


def set_limit(
    instance: DagsterInstance, code_location: str, limit: int, until: End = None, **how: Unpack[How]
) -> Change:
    """Limit a code location from the next tick on; 0 starts none of its runs. See `write`."""
    return write(instance, Kind.LIMIT, code_location, limit, until, **how)


def clear_limit(instance: DagsterInstance, code_location: str, **how: Unpack[How]) -> Change:
    """Return to the configured limit. See `write`."""
    return write(instance, Kind.LIMIT, code_location, None, **how)


def pause(instance: DagsterInstance, code_location: str, until: End = None, **how: Unpack[How]) -> Change:
    """Start no runs of a code location from the next tick on. Runs in progress are left alone. See `write`."""
    return write(instance, Kind.PAUSED, code_location, True, until, **how)


def resume(instance: DagsterInstance, code_location: str, **how: Unpack[How]) -> Change:
    """End a pause and close the circuit breaker, so that the previous limit is in force again. See `write`."""
    return write(instance, Kind.PAUSED, code_location, False, **how)


def write(
    instance: DagsterInstance,
    changed: Kind,
    code_location: str,
    value: int | bool | None,
    until: End = None,
    **how: Unpack[How],
) -> Change:
    """Write a live change and its entry in the history, both or neither.

    A change that doesn't expire removes one of the same sort that does. A resume also closes the circuit breaker,
    and stays stored only while it excepts a code location from a pause of all. What has expired is deleted.
    Of two expiring pauses the one that ends later is in force, so that a short pause for a deploy never cuts
    somebody's longer pause short. Of two expiring limits the last one is in force.

    Args:
        instance: The instance.
        changed: LIMIT, PAUSED or BREAKER.
        code_location: The code location; `EVERY_CODE_LOCATION` for all.
        value: The limit, or whether it is paused or its breaker is open. None removes a change.
        until: When it expires.
        how: See `How`.

    Raises:
        EndHasPassedError: The end has already passed.
    """
    kind = changed if until is None else _THAT_ENDS.get(changed, changed)
    with transaction(instance) as connection:
        _take_turn(connection)
        change, stored, left = _applied(connection, kind, code_location, value, until, how)
        document.put(connection, {f"{PREFIX}/{key}": left[key] for key in left if left[key] != stored.get(key)})
        document.delete(connection, [f"{PREFIX}/{key}" for key in stored.keys() - left.keys()])
        entry = history.HistoryEntry(
            at=change.at.isoformat(),
            by=change.by,
            code_location=code_location,
            change=changed.value,
            before=_value(changed, code_location, parse(stored.items(), change.at)),
            after=value,
            until=iso(change.until),
            reason=change.reason,
        )
        history.record(connection, change.id, entry)
    return change


def preview(
    instance: DagsterInstance,
    changed: Kind,
    code_location: str,
    value: int | bool | None,
    until: End = None,
    **how: Unpack[How],
) -> tuple[Change, LiveChanges]:
    """The change that `write` would write, and the live changes that would be in force then. Writes nothing."""
    kind = changed if until is None else _THAT_ENDS.get(changed, changed)
    with run_database(instance).connect() as connection:
        change, _, left = _applied(connection, kind, code_location, value, until, how)
    return change, parse(left.items(), change.at)


def record_priority(
    instance: DagsterInstance, code_locations: Iterable[str], priority: int, of: str, **how: Unpack[How]
) -> None:
    """Tell the history that queued runs of some code locations, `of` in words, have got a priority."""
    with transaction(instance) as connection:
        _take_turn(connection)
        at, reason = _now(connection).isoformat(), how.get("reason")
        for name in code_locations:
            entry = history.HistoryEntry(
                *(at, how.get("by") or _who(), name, "priority", None, priority),
                reason=one_line(reason) if reason else None,
                of=of,
            )
            history.record(connection, uuid.uuid4().hex, entry)


def _take_turn(connection: db.Connection) -> None:
    """From here on writers proceed one by one, so that the history has their order."""
    document.put(connection, {LOCK_KEY: uuid.uuid4().hex})


def _now(connection: db.Connection) -> datetime:
    return database_clock.moment(connection.execute(db.select(database_clock.now(connection))).scalar_one())


def _applied(  # noqa: PLR0917 - those of `write`
    connection: db.Connection, kind: Kind, code_location: str, value: int | bool | None, until: End, how: How
) -> tuple[Change, dict[str, str], dict[str, str]]:
    """A change, what is stored before it, and what is stored after it, by key without PREFIX."""
    stored, at = document.read_texts(connection, f"{PREFIX}/"), _now(connection)
    reason = how.get("reason")
    change = Change(
        value=int(value or 0),
        by=how.get("by") or _who(),
        at=at,
        until=at + until if isinstance(until, timedelta) else until,
        reason=one_line(reason) if reason else None,
        id=uuid.uuid4().hex,
    )
    if has_ended(change, at):
        raise EndHasPassedError(
            f"The end {iso(change.until)} has passed; by the database's clock it is now {iso(at)}."
        )
    before, over = parse(stored.items(), at), LiveChanges(read_at=at)
    left = {key: text for key, text in stored.items() if parse([(key, text)], at) != over}
    removed = {kind} if value is None else set()
    if kind in _THAT_ENDS:
        removed.add(_THAT_ENDS[kind])
    if kind is Kind.PAUSED and not value:
        removed.add(Kind.BREAKER)
    for name in {code_location, *how.get("known", ())}:
        for of in removed:
            left.pop(f"{of.value}/{name}", None)
        if value is not None and not _is_outlasted(kind, name, change, before):
            left[f"{kind.value}/{name}"] = _text(change, value)
    after = parse(left.items(), at)
    if after.pause(EVERY_CODE_LOCATION) is None:
        resumed = {f"{Kind.PAUSED.value}/{name}" for name, pause in after.pauses.items() if not pause.value}
        left = {key: text for key, text in left.items() if key not in resumed}
    return change, stored, left


def _text(change: Change, value: int | bool) -> str:
    times = {"at": change.at.isoformat(), "until": change.until and change.until.isoformat()}
    data = {"value": value, "by": change.by, "id": change.id, "reason": change.reason, **times}
    return json.dumps({key: part for key, part in data.items() if part is not None})


def _is_outlasted(kind: Kind, code_location: str, change: Change, stored: LiveChanges) -> bool:
    other = stored.pauses_until.get(code_location) if kind is Kind.PAUSED_UNTIL else None
    return bool(other and other.until and change.until and other.until > change.until)


def _value(changed: Kind, code_location: str, stored: LiveChanges) -> int | bool | None:
    """The current live value of what a change is about to change."""
    if changed is Kind.LIMIT:
        limit = stored.limit(code_location)
        return limit.value if limit else None
    paused = stored.pauses_until.get(code_location) or stored.pauses.get(code_location)
    hold = stored.breakers.get(code_location) if changed is Kind.BREAKER else paused
    return bool(hold.value) if hold else None


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # in a container, the user may be a number without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
