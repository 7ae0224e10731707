"""The connections that the daemon keeps open, with TLS and behind a real PgBouncer."""

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as db
from clt_queued_run_coordinator.daemon import lease
from clt_queued_run_coordinator.daemon.lease import NotStartedError
from harness.waiting import wait_until
from tests.in_process.daemon_connections import THREADS, Opened, queue_on
from tests.pgbouncer import PROGRAM, PgBouncer, make_certificate, running_pgbouncer
from tests.postgresql import PostgreSQL, hand_over, running_postgresql
from tests.run_queue import A, RunQueue

LIMIT = 3
WITH_TLS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
"""The programs of Debian's PostgreSQL; those that other tests use are built without TLS."""

needs_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="pgbouncer is missing; on Debian: apt-get install pgbouncer"
)
needs_tls = pytest.mark.skipif(
    not WITH_TLS, reason="a PostgreSQL with TLS is missing; on Debian: apt-get install postgresql"
)
Bouncer = Callable[..., PgBouncer]


@pytest.fixture
def bouncer(postgresql: PostgreSQL) -> Iterator[Bouncer]:
    """Starts a PgBouncer with the given settings before the session's PostgreSQL."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running_pgbouncer(postgresql, **settings))


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    """The name of a database with Dagster's tables in it."""
    return new_database().rpartition("/")[2]


@contextmanager
def postgresql_with_tls() -> Iterator[str]:
    """The URL of a database on a PostgreSQL that is reached with TLS."""
    with tempfile.TemporaryDirectory() as folder:
        hand_over(Path(folder))
        certificate, key = make_certificate(Path(folder))
        settings = {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
        with running_postgresql(WITH_TLS[-1], settings) as server:
            server.execute("CREATE DATABASE own")
            yield f"{server.url('own')}?sslmode=require"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged that an operator would look at."""
    return [each.message for each in caplog.records if each.levelno >= logging.WARNING]


def starts_open_no_connections(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty starts in four threads, once the pool is filled."""
    with queue_on(url, max_concurrent_runs=48, **THREADS) as queue:
        queue.queue(A, 8)
        queue.tick()
        queue.queue(A, 40)
        with queue.storage.connect() as connection:
            protocol = connection.connection.dbapi_connection.info.ssl_attribute("protocol")  # type: ignore[union-attr]
        opened = Opened(monkeypatch)
        assert queue.tick() == {A: 40}
        assert opened.count <= 10
        assert protocol == "TLSv1.3"


@needs_tls
def test_with_tls_starts_open_no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of TLS is left to be read from a kept connection, so it isn't taken for ended."""
    with postgresql_with_tls() as url:
        starts_open_no_connections(url, monkeypatch)


@needs_pgbouncer
def test_behind_pgbouncer_with_tls_starts_open_no_connections(
    bouncer: Bouncer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PgBouncer sends tickets for a later session, which PostgreSQL doesn't."""
    starts_open_no_connections(bouncer().url(database), monkeypatch)


@needs_pgbouncer
def test_no_more_stay_open_than_are_kept(bouncer: Bouncer, database: str) -> None:
    """However many threads needed one at once: PgBouncer counts its clients."""
    kept, threads = 3, 12
    pgbouncer = bouncer()
    with (
        queue_on(pgbouncer.url(database), {"daemon_connections": kept}) as queue,
        ThreadPoolExecutor(threads) as pool,
    ):
        queue.tick()
        at_once: list[int] = []
        all_hold_one = threading.Barrier(threads, action=lambda: at_once.append(pgbouncer.clients(database)))

        def hold(_: int) -> None:
            with queue.storage.connect():
                all_hold_one.wait(timeout=60)

        list(pool.map(hold, range(threads)))
        assert at_once[0] >= threads
        wait_until("only the kept ones are open", lambda: pgbouncer.clients(database) == kept, every=0.05)


@needs_pgbouncer
def test_a_restart_of_pgbouncer_between_two_ticks_is_not_noticed(
    bouncer: Bouncer, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was kept is replaced before it is used, so no statement fails."""
    pgbouncer = bouncer()
    with queue_on(pgbouncer.url(database), max_concurrent_runs=8, **THREADS) as queue:
        queue.queue(A, 4)
        assert queue.tick() == {A: 4}
        run_ids = queue.queue(A, 4)
        pgbouncer.restart()
        caplog.clear()
        assert set(queue.tick_ids()) == set(run_ids)
        assert warnings(caplog) == []


@needs_pgbouncer
def test_connections_that_pgbouncer_ends_because_nobody_uses_them_are_not_noticed(
    bouncer: Bouncer, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As with `client_idle_timeout`, or a proxy between that drops what is silent."""
    pgbouncer = bouncer(client_idle_timeout=1)
    with queue_on(pgbouncer.url(database)) as queue:
        queue.coordinator._daemon_seam._lease._stopped.set()  # its thread uses one every two seconds
        queue.queue(A, 4)
        assert queue.tick() == {A: 4}
        run_ids = queue.queue(A, 4)
        wait_until("all are ended", lambda: pgbouncer.clients(database) == 0, every=0.1)
        caplog.clear()
        assert set(queue.tick_ids()) == set(run_ids)
        assert warnings(caplog) == []


@needs_pgbouncer
def test_a_tick_waits_while_pgbouncer_is_paused(
    bouncer: Bouncer, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And goes on where it was."""
    pgbouncer = bouncer()
    with queue_on(pgbouncer.url(database)) as queue, ThreadPoolExecutor(1) as pool:
        queue.tick()
        run_ids = queue.queue(A, 4)
        pgbouncer.ask("PAUSE")
        caplog.clear()
        tick = pool.submit(queue.tick_ids)
        wait_until("it waits", lambda: any(row["cl_waiting"] for row in pgbouncer.ask("SHOW POOLS")), every=0.05)
        pgbouncer.ask("RESUME")
        assert set(tick.result()) == set(run_ids)
        assert warnings(caplog) == []


@needs_pgbouncer
def test_after_query_wait_timeout_the_next_tick_starts_the_runs(bouncer: Bouncer, database: str) -> None:
    """The tick itself fails, and starts nothing."""
    pgbouncer = bouncer(query_wait_timeout=1)
    with queue_on(pgbouncer.url(database)) as queue:
        queue.tick()
        run_ids = queue.queue(A, 4)
        pgbouncer.ask("PAUSE")
        with pytest.raises(db.exc.DBAPIError):
            queue.tick()
        pgbouncer.ask("RESUME")
        assert set(queue.tick_ids()) == set(run_ids)


@needs_pgbouncer
@pytest.mark.parametrize("moment", ["before_cursor_execute", "after_cursor_execute"])
def test_no_run_starts_twice_wherever_in_a_tick_pgbouncer_restarts(
    bouncer: Bouncer, database: str, moment: str
) -> None:
    """Here and there among its statements: no limit is exceeded, and the next tick fills the slots."""
    pgbouncer = bouncer()
    limits = {"default": LIMIT}
    with queue_on(pgbouncer.url(database), limits, max_concurrent_runs=50) as queue:
        queue.tick()  # takes the lease; where that is cut in two, the next one waits until it is free again
        this_thread = threading.get_ident()
        for statement in count(1, 7):
            queue.queue(A, LIMIT)
            left = statement

            def restart(*_: Any) -> None:
                nonlocal left
                if threading.get_ident() == this_thread:
                    left -= 1
                    if left == 0:
                        pgbouncer.restart()

            db.event.listen(db.Engine, moment, restart)
            try:
                with suppress(Exception):
                    queue.tick()
            finally:
                db.event.remove(db.Engine, moment, restart)
            assert queue.in_progress(A) <= LIMIT, statement
            queue.queue(A, LIMIT)
            queue.tick()
            assert queue.in_progress(A) == LIMIT, statement
            launched = [run.run_id for run in queue.launcher.queue()]
            assert len(launched) == len(set(launched)), statement
            queue.end(A, LIMIT)
            if left > 0:
                break
        assert statement > 20, "many statements"


@needs_pgbouncer
def test_two_daemons_behind_pgbouncer_exceed_no_limit(
    bouncer: Bouncer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes the lease from the other all the time, and they share three connections of the database."""
    monkeypatch.setattr(lease, "SECONDS", -1.0)
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 3600.0)
    url = bouncer(default_pool_size=3).url(database)
    limits = {"default": LIMIT}
    with ExitStack() as stack:
        daemons = [stack.enter_context(queue_on(url, limits, max_concurrent_runs=50, **THREADS)) for _ in range(2)]
        for queue in daemons:
            own = queue.coordinator._daemon_seam._lease
            own._process = own._process.replace('"id": "', f'"id": "{id(queue)}')
        pool = stack.enter_context(ThreadPoolExecutor(2))
        begin = threading.Barrier(2)

        def tick(queue: RunQueue) -> None:
            begin.wait()
            with suppress(NotStartedError):
                queue.tick()

        for _ in range(10):
            daemons[0].queue(A, 2)
            list(pool.map(tick, daemons))
            assert daemons[0].in_progress(A) <= LIMIT
            daemons[0].end(A, daemons[0].in_progress(A))
        launched = [run.run_id for queue in daemons for run in queue.launcher.queue()]
        assert len(launched) == len(set(launched)) > LIMIT


def test_a_changed_parameter_of_the_server_replaces_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL tells a client of it with its next answer, and leaves idle connections in peace."""
    with running_postgresql() as server:
        server.execute("CREATE DATABASE own")
        with queue_on(server.url("own")) as queue:
            queue.tick()
            server.execute("ALTER SYSTEM SET timezone = 'Asia/Tokyo'")
            server.execute("SELECT pg_reload_conf()")
            opened = Opened(monkeypatch)
            wait_until("it is in force", lambda: _time_zone(queue) == "Asia/Tokyo", every=0.05)
            queue.tick()
            assert opened.count == 0


def _time_zone(queue: RunQueue) -> str:
    with queue.storage.connect() as connection:
        return str(connection.exec_driver_sql("SHOW timezone").scalar())
