"""The connections to PostgreSQL that the daemon keeps open for all of its threads.

Dagster opens one for each group of statements and closes it again, some ten times to start a run. Its webserver
keeps one for each storage, and gives it a time-out for the session, which a PgBouncer hands on to others. The
daemon gets one pool for all of its storages, with connections just as Dagster opens them.

Nobody waits for this pool. A thread that finds no kept connection free opens one more, as without the pool. So
threads that need a second connection while they hold a first never wait for each other.
"""

import selectors
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, replace_engines

RECYCLE_SECONDS = 300
"""A kept connection that is older is replaced by a new one, which may lead to another PgBouncer."""


def keep_connections(instance: DagsterInstance, most: int) -> None:
    """Let an instance on PostgreSQL keep at most so many connections open; 0 changes nothing.

    An instance that does so already, or is on another database, stays as it is.
    """
    pooled: dict[db.engine.URL, db.engine.Engine] = {}

    def pooled_instead(engine: db.engine.Engine) -> db.engine.Engine:
        if engine.dialect.name != "postgresql" or not isinstance(engine.pool, db.pool.NullPool):
            return engine
        if engine.url not in pooled:
            pooled[engine.url] = _pooled(engine, most)
        return pooled[engine.url]

    if most:
        replace_engines(instance, pooled_instead)


def _pooled(engine: db.engine.Engine, most: int) -> db.engine.Engine:
    def connect() -> Any:
        # Through Dagster's own engine, which may ask for a token as password.
        connection = engine.raw_connection()
        connection.detach()
        return connection.dbapi_connection

    pooled = db.create_engine(
        engine.url,
        creator=connect,
        isolation_level="AUTOCOMMIT",
        pool_size=most,
        max_overflow=-1,
        pool_recycle=RECYCLE_SECONDS,
        pool_pre_ping=True,
    )
    pooled.dialect.do_ping = _is_open  # type: ignore[method-assign]
    return pooled


_Selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)  # Windows has none


def _is_open(dbapi_connection: Any) -> bool:
    """Whether neither the server nor a keepalive has ended a connection while nobody used it.

    There is nothing to read from an idle connection until it ends. Unlike the statement that SQLAlchemy would send
    before each use, a look at that costs no way to the database and back. An epoll would take four system calls,
    and each of them lets another thread go first.
    """
    with _Selector() as selector:
        selector.register(dbapi_connection, selectors.EVENT_READ)
        return not selector.select(timeout=0)
