"""Transactions of the instance's run database that keep other writers out."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, run_database

SUSPENDED_SECONDS = 15
"""PostgreSQL ends a transaction whose program has done nothing for this long, such as a suspended command, so that
others get its locks. Those wait for a lock five seconds longer."""


@contextmanager
def transaction(where: DagsterInstance | db.Connection) -> Iterator[db.Connection]:
    """A connection in a transaction whose first `SELECT ... FOR UPDATE` keeps other writers out until the end.

    An open PostgreSQL connection in place of the instance saves opening another.
    """
    if isinstance(where, db.Connection):
        with _begun(where):
            where.exec_driver_sql(
                f"SET LOCAL idle_in_transaction_session_timeout = '{SUSPENDED_SECONDS}s';"
                f" SET LOCAL lock_timeout = '{SUSPENDED_SECONDS + 5}s'"
            )
            yield where
        return
    with run_database(where).connect() as connection:
        if connection.dialect.name == "sqlite":
            # Dagster has begun a transaction, but SQLite would take the lock only at the first write.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
        else:
            with transaction(connection):
                yield connection


@contextmanager
def _begun(connection: db.Connection) -> Iterator[None]:
    # Dagster's PostgreSQL connections autocommit each statement.
    with connection.execution_options(isolation_level="READ COMMITTED").begin():
        yield


LOOKS_UP = "SET LOCAL random_page_cost = 1.1; SET LOCAL jit = off"
"""Settings of a transaction of PostgreSQL that looks up the tags of many runs. By default PostgreSQL assumes that
index lookups hit the disk, and would rather read all the tags of a long history. It also compiles a query that it
takes for expensive, which takes longer than the query."""


@contextmanager
def reading(instance: DagsterInstance) -> Iterator[db.Connection]:
    """A connection for queries that look up the tags of many runs."""
    with run_database(instance).connect() as connection:
        if connection.dialect.name != "postgresql":
            yield connection
            return
        with _begun(connection):
            connection.exec_driver_sql(LOOKS_UP)
            yield connection
