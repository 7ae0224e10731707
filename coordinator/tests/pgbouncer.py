"""A real PgBouncer for the tests, and the certificate with which it and PostgreSQL do TLS."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from harness.process import free_port
from harness.waiting import wait_until
from psycopg2.extras import RealDictCursor
from tests.postgresql import UNPRIVILEGED, USER, PostgreSQL, hand_over

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")  # where Debian has it


class PgBouncer:
    """One before a PostgreSQL, with TLS towards its clients, on a free port of the loopback interface.

    Args:
        folder: An empty folder for its files.
        server: The PostgreSQL.
        settings: Its settings, beside those of `deploy/overlays/pgbouncer`.
    """

    def __init__(self, folder: Path, server: PostgreSQL, **settings: object) -> None:
        self._port = free_port()
        self._configuration = folder / "pgbouncer.ini"
        users = folder / "users.txt"
        users.write_text(f'"{USER}" ""\n')
        certificate, key = make_certificate(folder)
        lines = {
            "listen_addr": "127.0.0.1",
            "listen_port": self._port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": users,
            "admin_users": USER,
            "client_tls_sslmode": "require",
            "client_tls_cert_file": certificate,
            "client_tls_key_file": key,
            "pool_mode": "transaction",
            "server_reset_query_always": 1,
            **settings,
        }
        self._configuration.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in lines.items())
        )
        for file in (folder, self._configuration, users):
            hand_over(file)

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert PROGRAM
        self._process = subprocess.Popen(
            [PROGRAM, "--quiet", str(self._configuration)],
            user=UNPRIVILEGED,
            group="nogroup" if UNPRIVILEGED else None,
        )
        wait_until("PgBouncer answers", self._answers, seconds=60, every=0.05)

    def kill(self) -> None:
        """End it at once, with all of its connections."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Kill it, and start it on the same port."""
        self.kill()
        self.start()

    def url(self, database: str) -> str:
        """How SQLAlchemy and Dagster name a database behind it."""
        return f"postgresql://{USER}@127.0.0.1:{self._port}/{database}?sslmode=require"

    def ask(self, command: str) -> list[dict[str, Any]]:
        """Give it a command, such as `PAUSE`, and return the rows of its answer."""
        with closing(psycopg2.connect(self.url("pgbouncer"))) as connection:
            connection.autocommit = True
            with connection.cursor(cursor_factory=RealDictCursor) as cursor:
                cursor.execute(command)
                return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def clients(self, database: str) -> int:
        """How many connections to a database are open."""
        return sum(row["database"] == database for row in self.ask("SHOW CLIENTS"))

    def _answers(self) -> bool:
        assert self._process.poll() is None, "PgBouncer has ended"
        try:
            return bool(self.ask("SHOW VERSION"))
        except psycopg2.OperationalError:
            return False


@contextmanager
def running_pgbouncer(server: PostgreSQL, **settings: object) -> Iterator[PgBouncer]:
    """One that runs for as long as the context; the arguments are those of `PgBouncer`."""
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
        bouncer = PgBouncer(Path(folder), server, **settings)
        bouncer.start()
        try:
            yield bouncer
        finally:
            bouncer.kill()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate and its key, which the unprivileged user owns, in files of a folder."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    for file in (certificate, key):
        file.chmod(0o600)
        hand_over(file)
    return certificate, key
