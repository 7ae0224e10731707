"""Counts the refused submits of each code location in the instance's database.

Each code location has a key of its own in Dagster's key-value store. The database itself increments the number, so
that concurrent processes lose none. The keys are outside the prefix of the live changes.
"""

import re

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, KeyValueStoreTable, run_database

PREFIX = "clt_queued_run_coordinator.refused/"

_NUMBER = re.compile(r"[0-9]{1,18}")

_COUNT_ONE = db.text(
    "INSERT INTO kvs (key, value) VALUES (:key, '1')"
    " ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(kvs.value AS BIGINT) + 1 AS TEXT)"
)


def count_refused(instance: DagsterInstance, code_location: str) -> None:
    """Count one refused submit, in a separate transaction."""
    with run_database(instance).connect() as connection:
        connection.execute(_COUNT_ONE, {"key": f"{PREFIX}{code_location}"})


def read_refused(connection: db.Connection) -> dict[str, int]:
    """The number of submits ever refused, for each code location that has any.

    Args:
        connection: To the instance's run database.
    """
    key, value = KeyValueStoreTable.c.key, KeyValueStoreTable.c.value
    rows = connection.execute(db.select(key, value).where(key.startswith(PREFIX, autoescape=True))).all()
    return {stored.removeprefix(PREFIX): int(number) for stored, number in rows if _NUMBER.fullmatch(number)}
