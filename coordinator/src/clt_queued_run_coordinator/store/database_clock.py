"""The time by the database's clock, which decides when a live change expires.

The daemon, the webservers and people's shells may all have different clocks. The database's clock is the one they
share. With SQLite it is the machine's clock.
"""

from datetime import datetime, timezone

import sqlalchemy as db

_NOW = {
    # In UTC whatever the session's time zone, and the current time instead of the transaction's start.
    "postgresql": "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')",
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%f', 'now')",
}


def now(connection: db.Connection) -> db.ColumnElement[str]:
    """The current time as a column for a statement; `moment` parses it.

    Args:
        connection: The connection that the statement is for.
    """
    return db.literal_column(_NOW[connection.dialect.name], db.String)


def moment(stated: str) -> datetime:
    """Parse a time that the database returned, in UTC."""
    return datetime.fromisoformat(stated).replace(tzinfo=timezone.utc)
