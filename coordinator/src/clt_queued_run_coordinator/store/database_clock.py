"""The database's clock, which decides when a live change expires, and the times that Dagster keeps of runs.

The daemon, the webservers and people's shells may all have different clocks. The database's clock is the one they
share. With SQLite it is the machine's clock.

Dagster writes the times of runs into columns without a time zone. There PostgreSQL keeps them in the time zone of
the session that wrote them, which need not be UTC: `ALTER DATABASE ... SET timezone` changes it for all sessions.
"""

from datetime import datetime, timezone

import sqlalchemy as db

_NOW = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%f', 'now', '{:f} seconds')",
    # In UTC whatever the session's time zone, and the current time instead of the transaction's start.
    "postgresql": "to_char((clock_timestamp() + interval '{:f} seconds') AT TIME ZONE 'UTC',"
    " 'YYYY-MM-DD\"T\"HH24:MI:SS.US')",
}


def now(connection: db.Connection, later: float = 0.0) -> db.ColumnElement[str]:
    """The current time, or the time `later` seconds after it, as a column for a statement; `moment` parses it."""
    return db.literal_column(_NOW[connection.dialect.name].format(later), db.String())


def moment(stated: str) -> datetime:
    """Parse a time that the database returned, in UTC."""
    return utc(datetime.fromisoformat(stated))


def in_utc(connection: db.Connection, column: db.ColumnElement[datetime]) -> db.ColumnElement[datetime]:
    """A time of a run in UTC, for a statement in a session like those that write runs; `utc` names the time zone.

    The column is `create_timestamp` or `update_timestamp` of `runs`, or the lowest or highest one.
    """
    if connection.dialect.name != "postgresql":
        return column
    return db.func.timezone("UTC", db.cast(column, db.DateTime(timezone=True)), type_=db.DateTime())


def utc(stored: datetime) -> datetime:
    """A time from `in_utc` with its time zone."""
    return stored.replace(tzinfo=timezone.utc) if stored.tzinfo is None else stored


def seconds(connection: db.Connection, column: db.ColumnElement[datetime]) -> db.ColumnElement[int]:
    """A time of a run in whole seconds since 1970; the column is as for `in_utc`."""
    if connection.dialect.name != "postgresql":
        return db.cast(db.func.strftime("%s", column), db.BigInteger)
    return db.cast(db.extract("epoch", db.cast(column, db.DateTime(timezone=True))), db.BigInteger)
