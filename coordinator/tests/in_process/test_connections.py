"""The connections that the daemon keeps open, on a real PostgreSQL."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.pool import NullPool, QueuePool
from tests.in_process.daemon_connections import THREADS, Opened, engines, queue_on
from tests.postgresql import PostgreSQL, running_postgresql
from tests.run_queue import A, ephemeral_run_queue


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    """A server of the test's own, to be restarted."""
    with running_postgresql() as server:
        server.execute("CREATE DATABASE own")
        yield server


def test_every_storage_of_this_dagster_gets_the_pool(new_database: Callable[[], str]) -> None:
    """The contract with each supported version: before its first tick each has an engine without a pool."""
    with queue_on(new_database()) as queue:
        assert [type(engine.pool) for engine in engines(queue.instance)] == 3 * [NullPool]
        queue.tick()
        (engine,) = set(engines(queue.instance))
        assert isinstance(engine.pool, QueuePool)
        queue.tick()
        assert set(engines(queue.instance)) == {engine}


def test_starts_open_no_connections(new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the pool is filled, threads of the daemon that start runs find what they need."""
    with queue_on(new_database(), max_concurrent_runs=40, **THREADS) as queue:
        queue.queue(A, 40)
        queue.tick()
        queue.end(A, 40)
        queue.queue(A, 40)
        opened = Opened(monkeypatch)
        assert queue.tick() == {A: 40}
        assert opened.count <= 10


def test_zero_keeps_none(new_database: Callable[[], str]) -> None:
    """The way back: the instance is as Dagster made it."""
    with queue_on(new_database(), {"daemon_connections": 0}) as queue:
        queue.queue(A)
        assert queue.tick() == {A: 1}
        assert [type(engine.pool) for engine in engines(queue.instance)] == 3 * [NullPool]


def test_another_database_is_left_alone() -> None:
    """SQLite's storages connect as before."""
    with ephemeral_run_queue({}, {}) as queue:
        before = engines(queue.instance)
        queue.tick()
        assert engines(queue.instance) == before


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_the_database_between_two_ticks_is_not_noticed(
    server: PostgreSQL, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was kept is replaced before it is used, so no statement fails."""
    with queue_on(server.url("own"), max_concurrent_runs=8, **THREADS) as queue:
        queue.queue(A, 4)
        assert queue.tick() == {A: 4}
        run_ids = queue.queue(A, 4)
        server.restart(mode)
        caplog.clear()
        assert set(queue.tick_ids()) == set(run_ids)
        assert [each.message for each in caplog.records if each.levelno >= logging.WARNING] == []


def test_threads_that_need_a_second_connection_never_wait_for_each_other(new_database: Callable[[], str]) -> None:
    """Many more than are kept, each with one in its hand; afterwards only those are open that are kept."""
    kept, threads = 2, 12
    url = new_database()
    with queue_on(url, {"daemon_connections": kept}) as queue, ThreadPoolExecutor(threads) as pool:
        queue.tick()
        all_hold_one = threading.Barrier(threads)

        def nested(_: int) -> None:
            with queue.storage.connect() as first, first.begin():
                all_hold_one.wait(timeout=60)
                queue.instance.get_runs_count()

        list(pool.map(nested, range(threads)))
        assert len(set(engines(queue.instance))) == 1
        engine = engines(queue.instance)[0]
        assert isinstance(engine.pool, QueuePool)
        assert (engine.pool.checkedin(), engine.pool.checkedout()) == (kept, 0)


def test_a_connection_is_used_again_as_it_was_opened(new_database: Callable[[], str]) -> None:
    """With no setting of the session, which PgBouncer would hand on to others, and no transaction left open."""
    settings = "SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY name"
    with queue_on(new_database()) as queue:
        with queue.storage.connect() as connection:
            fresh = connection.exec_driver_sql(settings).all()
        queue.queue(A, 3)
        queue.tick()
        with queue.storage.connect() as connection:
            assert connection.exec_driver_sql(settings).all() == fresh
            assert connection.connection.dbapi_connection.autocommit  # type: ignore[union-attr]
