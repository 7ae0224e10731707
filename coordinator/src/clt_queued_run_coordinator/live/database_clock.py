"""The moment by the database's clock, which decides what a live change's end means and whether it has passed.

Daemon, webservers and shells may each have a clock of their own; the database's is the one that they share. On
SQLite it is the machine's.
"""

from datetime import datetime, timezone

import sqlalchemy as db

_NOW = {
    # UTC whatever the session's time zone, and not the transaction's beginning.
    "postgresql": "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')",
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%f', 'now')",
}


def now(connection: db.Connection) -> db.ColumnElement[str]:
    """The moment as a column of a statement; `moment` understands it.

    Args:
        connection: That the statement is for.
    """
    return db.literal_column(_NOW[connection.dialect.name], db.String)


def moment(stated: str) -> datetime:
    """The moment that a database has stated, in UTC."""
    return datetime.fromisoformat(stated).replace(tzinfo=timezone.utc)
