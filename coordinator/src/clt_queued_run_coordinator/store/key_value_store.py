"""Dagster's key-value store, which is a table of the run database."""

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import KeyValueStoreTable


def stored_value(connection: db.Connection, key: str) -> str | None:
    """The value stored under a key; None if there is none.

    Args:
        connection: To the instance's run database.
        key: The key.
    """
    query = db.select(KeyValueStoreTable.c.value).where(KeyValueStoreTable.c.key == key)
    return connection.execute(query).scalar()
