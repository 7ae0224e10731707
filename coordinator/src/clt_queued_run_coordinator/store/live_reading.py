"""Reads the live changes from the instance's database."""

import json
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import KeyValueStoreTable
from clt_queued_run_coordinator.config import plain_data
from clt_queued_run_coordinator.policy.changes import PREFIX, Change, Kind, LiveChanges, has_ended, now
from clt_queued_run_coordinator.store import database_clock
from clt_queued_run_coordinator.text.safe import one_line


def read(connection: db.Connection) -> LiveChanges:
    """Read the live changes in force, and the time by the database's clock, in one statement.

    Args:
        connection: To the instance's run database.
    """
    key, value = KeyValueStoreTable.c.key, KeyValueStoreTable.c.value
    moment = db.select(db.literal("").label("key"), database_clock.now().label("value"))
    stored = db.select(key, value).where(key.like(f"{PREFIX}/%"))
    rows = {str(key): str(value) for key, value in connection.execute(db.union_all(moment, stored)).all()}
    return parse(rows.items(), database_clock.moment(rows.pop("")))


def parse(stored: Iterable[tuple[str, str]], read_at: datetime | None = None) -> LiveChanges:
    """Parse the stored changes; each one that can't be read is reported in `unreadable`.

    Args:
        stored: Pairs of key and value under PREFIX.
        read_at: The current time in UTC, by default this machine's. Changes that have expired by then are dropped.
    """
    read_at = read_at or now()
    changes: dict[str, dict[str, Change]] = {kind.value: {} for kind in Kind}
    unreadable: list[str] = []
    for key, text in stored:
        kind, _, code_location = key.removeprefix(f"{PREFIX}/").partition("/")
        try:
            change = _change(kind, json.loads(text))
        except _UNREADABLE as error:
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


def has_expired(key: str, text: str, moment: datetime) -> bool:
    """Whether a stored change is in force no more; one that can't be read may be.

    Args:
        key: Its key without PREFIX.
        text: As it is stored.
        moment: The current time in UTC.
    """
    try:
        change = _change(key.partition("/")[0], json.loads(text))
    except _UNREADABLE:
        return False
    return change is None or has_ended(change, moment)


_UNREADABLE = (ValueError, TypeError, KeyError, OverflowError, RecursionError)


def _change(kind: str, stored: Any) -> Change | None:
    value = stored["value"]
    if value is None:
        return None
    if kind in {Kind.LIMIT.value, Kind.LIMIT_UNTIL.value}:
        if plain_data.count(value) is None:
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
