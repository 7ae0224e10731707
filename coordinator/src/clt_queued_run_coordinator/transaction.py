"""A transaction of the instance's run database that other writers wait for."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, run_database


@contextmanager
def transaction(where: DagsterInstance | db.Connection) -> Iterator[db.Connection]:
    """A connection whose first read for update keeps other writers out until all is written.

    Args:
        where: The instance; or a connection to its run database on PostgreSQL, to save a new one.
    """
    if isinstance(where, db.Connection):
        # Dagster commits each statement by itself.
        with where.execution_options(isolation_level="READ COMMITTED").begin():
            yield where
        return
    with run_database(where).connect() as connection:
        if connection.dialect.name == "sqlite":
            # Dagster has begun a transaction, but for SQLite it begins at the first write.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
        else:
            with transaction(connection):
                yield connection
