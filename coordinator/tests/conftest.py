"""Fixtures that several folders of tests share."""

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any
from unittest import mock

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, settings
from tests.fuzz.tried import TRIED
from tests.postgresql import PostgreSQL, running_postgresql
from tests.run_queue import postgresql_run_queue

if find_spec("code_location_a") is None:
    # These launch runs of the template's sample code locations.
    collect_ignore_glob = [
        "system/test_bad_config.py",
        "system/test_launch_ways.py",
        "faults/test_faults.py",
        "fuzz/test_launch.py",
    ]

# A loaded machine must not fail a test: no test asserts a time. The inputs are the same at each run, so that a
# change is judged by what it changes; `HYPOTHESIS_PROFILE=random make test` tries others.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", calm, derandomize=True)
settings.register_profile("random", calm)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session", autouse=True)
def migrations_are_read_once() -> Iterator[None]:
    """Dagster reads all of its migrations for each new instance; that is most of what an instance costs."""
    read = ScriptDirectory.from_config
    known: dict[str | None, ScriptDirectory] = {}

    def from_config(config: Config) -> ScriptDirectory:
        folder = config.get_main_option("script_location")
        if folder not in known:
            known[folder] = read(config)
        return known[folder]

    with mock.patch.object(ScriptDirectory, "from_config", from_config):
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One real PostgreSQL server for the whole session."""
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def template(postgresql: PostgreSQL) -> str:
    """A database with Dagster's tables in it, to be cloned; a clone costs less than the tables."""
    name = "dagster_template"
    postgresql.execute(f"CREATE DATABASE {name}")
    with postgresql_run_queue(postgresql.url(name), {}, {}):
        pass
    postgresql.cut_connections(name)
    return name


@pytest.fixture
def new_database(postgresql: PostgreSQL, template: str) -> Iterator[Callable[[], str]]:
    """Makes a database with Dagster's tables in it and returns its URL; it is gone after the test."""
    names: list[str] = []

    def make() -> str:
        names.append(postgresql.clone(template))
        return postgresql.url(names[-1])

    yield make
    for name in names:
        postgresql.execute(f"DROP DATABASE {name} WITH (FORCE)")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the number of inputs that a worker of pytest-xdist tried to whoever prints it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = dict(TRIED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take that number."""
    TRIED.update(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many inputs the fuzz tests tried."""
    if TRIED:
        terminalreporter.section("inputs tried")
        for door, inputs in sorted(TRIED.items()):
            terminalreporter.line(f"{inputs:6} {door}")
        terminalreporter.line(f"{TRIED.total():6} in all")
