"""Transactions of the instance's run database that keep other writers out."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, run_database


@contextmanager
def transaction(where: DagsterInstance | db.Connection) -> Iterator[db.Connection]:
    """A connection in a transaction whose first `SELECT ... FOR UPDATE` keeps other writers out until the end.

    An open PostgreSQL connection in place of the instance saves opening another.
    """
    if isinstance(where, db.Connection):
        # Dagster's PostgreSQL connections autocommit each statement.
        with where.execution_options(isolation_level="READ COMMITTED").begin():
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
        with transaction(connection):
            connection.exec_driver_sql(LOOKS_UP)
            yield connection
