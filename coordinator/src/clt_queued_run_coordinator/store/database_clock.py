"""The database's clock, which decides when a live change expires, and the times that Dagster keeps of runs.

The daemon, the webservers and people's shells may all have different clocks. The database's clock is the one they
share. With SQLite it is the machine's clock.

Dagster writes the times of runs into columns without a time zone. There PostgreSQL keeps them in the time zone of
the session that wrote them, which need not be UTC: `ALTER DATABASE ... SET timezone` changes it for all sessions.
"""

from datetime import datetime, timezone
from typing import Any

import sqlalchemy as db
from sqlalchemy.ext.compiler import compiles


class _Now(db.sql.functions.FunctionElement[str]):
    inherit_cache = True
    type = db.String()


@compiles(_Now, "sqlite")
def _now_on_sqlite(*_: Any, **_options: Any) -> str:
    return "strftime('%Y-%m-%dT%H:%M:%f', 'now')"


@compiles(_Now, "postgresql")
def _now_on_postgresql(*_: Any, **_options: Any) -> str:
    # In UTC whatever the session's time zone, and the current time instead of the transaction's start.
    return "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"


def now() -> db.ColumnElement[str]:
    """The current time as a column for a statement; `moment` parses it."""
    return _Now()


def moment(stated: str) -> datetime:
    """Parse a time that the database returned, in UTC."""
    return datetime.fromisoformat(stated).replace(tzinfo=timezone.utc)


class _InUTC(db.sql.functions.FunctionElement[datetime]):
    inherit_cache = True
    type = db.DateTime()


@compiles(_InUTC)
def _as_stored(element: _InUTC, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(_InUTC, "postgresql")
def _in_utc_on_postgresql(element: _InUTC, compiler: Any, **options: Any) -> str:
    return f"timezone('UTC', CAST({compiler.process(element.clauses, **options)} AS timestamptz))"


def in_utc(column: db.ColumnElement[datetime]) -> db.ColumnElement[datetime]:
    """A time of a run in UTC, for a statement in a session like those that write runs; `utc` names the time zone.

    Args:
        column: `create_timestamp` or `update_timestamp` of `runs`, or the lowest or highest one.
    """
    return _InUTC(column)


def utc(stored: datetime) -> datetime:
    """A time from `in_utc` with its time zone."""
    return stored.replace(tzinfo=timezone.utc) if stored.tzinfo is None else stored
