"""Live changes: limits and pauses kept in the instance's own database, in force from the next tick.

Each change has a key of its own in Dagster's key-value store, because two writers of one key lose one of the
two changes: `<PREFIX>/<kind>/<code location>`. What ends by itself lies beside what doesn't, under a kind of its
own, so that what held before holds again afterwards, and version 2.0.0 of this package can read the rest.
"""

import getpass
import json
import os
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any

import sqlalchemy as db
from sqlalchemy.dialects import postgresql, sqlite

from clt_queued_run_coordinator._dagster import DagsterInstance, KeyValueStoreTable
from clt_queued_run_coordinator.limits import database_clock, history
from clt_queued_run_coordinator.limits.one_line import one_line
from clt_queued_run_coordinator.transaction import transaction

PREFIX = "clt_queued_run_coordinator"
EVERY_CODE_LOCATION = "*"
"""Stands for every code location that has no pause or resume of its own."""

TURN = f"{PREFIX}.turn"
"""The key that each writer writes first, and so has to itself until the end of its transaction."""


class Kind(str, Enum):
    """The kinds of live changes, as their keys name them."""

    LIMIT = "limit"
    LIMIT_UNTIL = "limit-until"
    PAUSED = "paused"
    PAUSED_UNTIL = "paused-until"
    BREAKER = "breaker"


_TAKES_BACK = {
    Kind.LIMIT: [Kind.LIMIT_UNTIL],
    Kind.PAUSED: [Kind.PAUSED_UNTIL],
}
"""What a change that stays ends besides: one of the same sort that would have ended by itself."""

_CHANGES = {
    Kind.LIMIT: "limit",
    Kind.LIMIT_UNTIL: "limit",
    Kind.PAUSED: "paused",
    Kind.PAUSED_UNTIL: "paused",
    Kind.BREAKER: "breaker",
}
"""What the history calls them."""


class EndHasPassedError(Exception):
    """A change would have ended before it was made; the message is one line."""


@dataclass(frozen=True)
class Change:
    """One live change.

    Attributes:
        value: The limit, or whether the code location is paused.
        by: Who made it: the operating system's user and the host, or a part of this package.
        at: When, in UTC by the database's clock.
        until: When it ends by itself, in UTC; None if it doesn't.
        reason: Why it was made, if that was said.
        id: Tells it from every other change; made of who and when where version 2.0.0 wrote it.
    """

    value: int
    by: str
    at: datetime
    until: datetime | None = None
    reason: str | None = None
    id: str = ""


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class LiveChanges:
    """Every live change in force.

    Attributes:
        limits: Those that stay, by code location.
        pauses: Those that stay, by code location, resumed ones included.
        unreadable: A line for each stored value that could not be understood and is not applied.
        limits_until: The limits that end by themselves.
        pauses_until: The pauses that end by themselves.
        breakers: The circuit breakers that are open.
        read_at: The moment that they were in force at, in UTC by the database's clock.
    """

    limits: Mapping[str, Change] = field(default_factory=dict)
    pauses: Mapping[str, Change] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    limits_until: Mapping[str, Change] = field(default_factory=dict)
    pauses_until: Mapping[str, Change] = field(default_factory=dict)
    breakers: Mapping[str, Change] = field(default_factory=dict)
    read_at: datetime = field(default_factory=_now)

    def limit(self, code_location: str) -> Change | None:
        """The limit set live, if one is."""
        return self.limits_until.get(code_location) or self.limits.get(code_location)

    def pause(self, code_location: str) -> Change | None:
        """The pause that holds a code location, if one does; of several the one that holds longest.

        A pause or resume of its own that stays beats those of all code locations.
        """
        pauses: list[Change] = []
        for name in (code_location, EVERY_CODE_LOCATION):
            stays, ends = self.pauses.get(name), self.pauses_until.get(name)
            pauses += [change for change in (stays, ends) if change and change.value]
            if stays:
                break
        return max(pauses, key=lambda change: change.until or _NEVER, default=None)

    def breaker(self, code_location: str) -> Change | None:
        """The open circuit breaker that holds a code location, if one does."""
        return self.breakers.get(code_location)

    @property
    def code_locations(self) -> set[str]:
        """The names that a change was made for."""
        names = {*self.limits, *self.pauses, *self.limits_until, *self.pauses_until, *self.breakers}
        return names - {EVERY_CODE_LOCATION}

    @property
    def pause_ids(self) -> set[str]:
        """The ids of the pauses."""
        changes = [*self.pauses.values(), *self.pauses_until.values()]
        return {change.id for change in changes if change.value}

    def at(self, moment: datetime) -> "LiveChanges":
        """What of it is still in force at a later moment, in UTC."""

        def lasting(changes: Mapping[str, Change]) -> dict[str, Change]:
            return {name: change for name, change in changes.items() if not _has_ended(change, moment)}

        return replace(
            self,
            limits=lasting(self.limits),
            pauses=lasting(self.pauses),
            limits_until=lasting(self.limits_until),
            pauses_until=lasting(self.pauses_until),
            breakers=lasting(self.breakers),
            read_at=moment,
        )


_NEVER = datetime.max.replace(tzinfo=timezone.utc)


def _has_ended(change: Change, moment: datetime) -> bool:
    return change.until is not None and change.until <= moment


def read(connection: db.Connection) -> LiveChanges:
    """The live changes in force, and the moment by the database's clock, in one statement.

    Args:
        connection: To the instance's run database.
    """
    key, value = KeyValueStoreTable.c.key, KeyValueStoreTable.c.value
    moment = db.select(db.literal("").label("key"), database_clock.now(connection).label("value"))
    stored = db.select(key, value).where(key.like(f"{PREFIX}/%"))
    rows = {str(key): str(value) for key, value in connection.execute(db.union_all(moment, stored)).all()}
    return parse(rows.items(), database_clock.moment(rows.pop("")))


def parse(stored: Iterable[tuple[str, str]], read_at: datetime | None = None) -> LiveChanges:
    """Understand what is stored; what can't be understood is told in `unreadable`.

    Args:
        stored: Pairs of key and value under PREFIX.
        read_at: The moment, in UTC; this machine's if left out. What has ended by then counts as never made.
    """
    read_at = read_at or _now()
    changes: dict[str, dict[str, Change]] = {kind.value: {} for kind in Kind}
    unreadable: list[str] = []
    for key, text in stored:
        kind, _, code_location = key.removeprefix(f"{PREFIX}/").partition("/")
        try:
            change = _change(kind, json.loads(text))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            unreadable.append(
                f"The live change stored under {key!r} can't be read ({type(error).__name__}: {error}) and is not"
                " applied; write it again with `dagster-clt`."
            )
            continue
        if change and not _has_ended(change, read_at):
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


def _change(kind: str, stored: Any) -> Change | None:
    value = stored["value"]
    if value is None:
        return None
    if kind in {Kind.LIMIT.value, Kind.LIMIT_UNTIL.value}:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{value!r} is not a limit")
    elif kind in {Kind.PAUSED_UNTIL.value, Kind.BREAKER.value}:
        if value is not True:
            raise ValueError(f"{value!r} is not true")
    elif kind == Kind.PAUSED.value:
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is neither true nor false")
    else:
        raise ValueError(f"{kind!r} is not a kind of change")
    until, reason = stored.get("until"), stored.get("reason")
    if until is None and kind in {Kind.LIMIT_UNTIL.value, Kind.PAUSED_UNTIL.value}:
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
    instance: DagsterInstance,
    code_location: str,
    limit: int,
    until: datetime | timedelta | None = None,
    reason: str | None = None,
) -> Change:
    """Limit a code location from the next tick on; 0 holds it. See `write`."""
    kind = Kind.LIMIT if until is None else Kind.LIMIT_UNTIL
    return write(instance, kind, code_location, limit, until=until, reason=reason)


def clear_limit(instance: DagsterInstance, code_location: str, reason: str | None = None) -> Change:
    """Go back to the configured limit. See `write`."""
    return write(instance, Kind.LIMIT, code_location, None, reason=reason)


def pause(
    instance: DagsterInstance,
    code_location: str,
    until: datetime | timedelta | None = None,
    reason: str | None = None,
    known: Iterable[str] = (),
) -> Change:
    """Start nothing of a code location from the next tick on; runs in progress are left alone. See `write`."""
    kind = Kind.PAUSED if until is None else Kind.PAUSED_UNTIL
    return write(instance, kind, code_location, True, until=until, reason=reason, known=known)


def resume(
    instance: DagsterInstance, code_location: str, reason: str | None = None, known: Iterable[str] = ()
) -> Change:
    """End a pause and close the circuit breaker: the limit from before holds again. See `write`."""
    return write(instance, Kind.PAUSED, code_location, False, reason=reason, known=known)


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

    A change that stays takes back one of the same sort that would have ended by itself, and a resume closes the
    circuit breaker as well. Of two pauses that end by themselves the one that ends later holds, so that a short
    one for a deploy never ends somebody's longer one; of two such limits the last.

    Args:
        where: The instance; or a connection to its run database within a transaction of the caller's.
        kind: What is changed, and whether it ends by itself.
        code_location: Whose; `EVERY_CODE_LOCATION` for all.
        value: The limit, or whether it is paused or its breaker is open. None takes a change back.
        until: When it ends by itself, in UTC; a length of time counts from now by the database's clock.
        reason: Why.
        by: Who makes it; this process' user if left out.
        known: With EVERY_CODE_LOCATION, the code locations whose own pause or resume shall not beat it.

    Returns:
        The change.

    Raises:
        EndHasPassedError: The end lies before now.
    """
    with _connected(where) as connection:
        number = uuid.uuid4().hex
        # Writers come one after the other from here on, so that the history has their order.
        _put(connection, [TURN], number)
        names = sorted({code_location, *known})
        stored = _stored(connection, [_key(any_kind, name) for name in names for any_kind in Kind])
        at = database_clock.moment(connection.execute(db.select(database_clock.now(connection))).scalar_one())
        change = Change(
            value=int(value or 0),
            by=by or _who(),
            at=at,
            until=at + until if isinstance(until, timedelta) else until,
            reason=one_line(reason) if reason else None,
            id=number,
        )
        if _has_ended(change, at):
            raise EndHasPassedError(
                f"The end {iso(change.until)} has passed; by the database's clock it is {iso(at)}."
            )
        ends = _TAKES_BACK.get(kind, [])
        if kind is Kind.PAUSED and not value:
            ends = [*ends, Kind.BREAKER]
        taken_back = [_key(ended, name) for name in names for ended in ends]
        before = parse(stored.items(), at)
        written = [_key(kind, name) for name in names if not _is_outlasted(kind, name, change, before)]
        if value is None:
            taken_back += written
        elif written:
            _put(connection, written, json.dumps({"value": value, **_as_data(change)}))
        gone = [key for key in taken_back if key in stored]
        if gone:
            connection.execute(KeyValueStoreTable.delete().where(KeyValueStoreTable.c.key.in_(gone)))
        history.record(
            connection,
            change.id,
            history.Entry(
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


def iso(moment: datetime | None) -> str | None:
    """A moment as ISO 8601 in UTC, to the second."""
    return None if moment is None else moment.astimezone(timezone.utc).isoformat(timespec="seconds")


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


def _value(kind: Kind, code_location: str, stored: LiveChanges) -> int | bool | None:
    """The live value of what a change changes."""
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
    except (KeyError, OSError):  # a container's numbered user has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
