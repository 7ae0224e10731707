"""How many submits were refused of each code location, counted in the instance's database.

One key of Dagster's key-value store for each code location, whose number is raised by the database itself: so none
is lost among processes. The keys are no live changes and lie outside of their prefix.
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
    """Count a refused submit, in a transaction of its own."""
    with run_database(instance).connect() as connection:
        connection.execute(_COUNT_ONE, {"key": f"{PREFIX}{code_location}"})


def read_refused(connection: db.Connection) -> dict[str, int]:
    """How many submits were ever refused, by code location; those without one are left out.

    Args:
        connection: To the instance's run database.
    """
    key, value = KeyValueStoreTable.c.key, KeyValueStoreTable.c.value
    rows = connection.execute(db.select(key, value).where(key.startswith(PREFIX, autoescape=True))).all()
    return {stored.removeprefix(PREFIX): int(number) for stored, number in rows if _NUMBER.fullmatch(number)}
