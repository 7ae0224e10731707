"""The tests on each supported version of Dagster; `nox --list` names them.

`nox` alone runs all but the in-process tests on the newest version, which `make test` runs on the locked one.
"""

from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = True

VERSIONS = ("1.10", "1.11", "1.12", "1.13")
"""The supported versions of Dagster, the newest one last; of each the newest patch is taken."""
OLDEST, NEWEST = VERSIONS[0], VERSIONS[-1]

nox.options.sessions = [*(f"versions-{older}" for older in VERSIONS[:-1]), "dagsters_own", "migration"]

TESTS = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test")
IN_PROCESS = ("tests/unit", "tests/in_process", "tests/command_line")
ON_POSTGRESQL = ("-k", "not ephemeral and not sqlite")
"""What differs between versions of Dagster is its daemon and its storages; one storage shows the first."""
DAEMONS_SIDE = (
    "daemon_seam or limits or order or blocked_runs or tagging or concurrency_runs or queued_runs or held_runs"
)
BETWEEN = ("tests/in_process", "-k", f"({DAEMONS_SIDE}) and {ON_POSTGRESQL[1]}")
"""On the versions between the oldest and the newest: whatever a change of Dagster's daemon would break."""


PYTEST = ("pytest", "--numprocesses", "2")


def packages(version: str) -> tuple[str, ...]:
    """What pip takes for the newest patch of a Dagster version, named without its patch."""
    # dagster-postgres requires the Dagster it was released with, so its version needs no mention.
    return (f"dagster~={version}.0", "dagster-postgres", "sqlalchemy<2.1")


def install_dagster(session: nox.Session, version: str) -> None:
    """Install the newest patch of a Dagster version, the coordinator and what the tests need.

    Args:
        session: The session whose environment takes it.
        version: The version, without its patch.
    """
    session.install("--compile-bytecode", *packages(version), *TESTS)
    session.install("--no-deps", "--editable", ".")
    session.run("dagster", "--version")


def add_versions_session(version: str) -> None:
    """Add the session that runs the in-process tests on a Dagster version."""

    @nox.session(name=f"versions-{version}")
    def versions(session: nox.Session) -> None:
        install_dagster(session, version)
        tests = BETWEEN if version in VERSIONS[1:-1] else (*IN_PROCESS, *ON_POSTGRESQL)
        session.run(*PYTEST, *(session.posargs or tests))

    versions.__doc__ = f"Run the in-process tests on the newest patch of Dagster {version}."


for supported in VERSIONS:
    add_versions_session(supported)


@nox.session
def newest(session: nox.Session) -> None:
    """Run the in-process tests on the newest Dagster, a pre-release too, whether it is supported or not."""
    session.install("--prerelease", "allow", "dagster", "dagster-postgres", "sqlalchemy<2.1", *TESTS)
    session.install("--no-deps", "--editable", ".")
    session.run("dagster", "--version")
    session.run(*PYTEST, *(session.posargs or (*IN_PROCESS, *ON_POSTGRESQL)))


@nox.session
def dagsters_own(session: nox.Session) -> None:
    """Run Dagster's own tests of its coordinator and its daemon with ours, on the newest version."""
    install_dagster(session, NEWEST)
    session.install("pip")  # downloads Dagster's source distribution, which carries the tests
    session.run(*PYTEST, "tests/dagsters_own", *session.posargs)


@nox.session
def migration(session: nox.Session) -> None:
    """Migrate databases that the oldest supported Dagster wrote to the newest, and go on with their queues."""
    install_dagster(session, NEWEST)
    oldest = Path(session.create_tmp()).resolve() / "oldest"
    python = str(oldest / "bin" / "python")
    session.run("uv", "venv", "--quiet", "--clear", str(oldest))
    session.run("uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *packages(OLDEST))
    session.run("uv", "pip", "install", "--quiet", "--python", python, "--no-deps", "--editable", ".")
    session.run(*PYTEST, "tests/migration", *session.posargs, env={"DAGSTER_OLDEST_PYTHON": python})
