"""Fixtures that several folders of tests share."""

import itertools
import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.postgresql import PostgreSQL, running_postgresql
from tests.run_queue import postgresql_run_queue

# A loaded machine must not fail a test: no test asserts a time. The inputs are the same at each run, so that a
# change is judged by what it changes; `HYPOTHESIS_PROFILE=random make test` tries others.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", calm, derandomize=True)
settings.register_profile("random", calm)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One real PostgreSQL server for the whole session."""
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def new_database(postgresql: PostgreSQL) -> Callable[[], str]:
    """Makes a database with Dagster's tables in it and returns its URL; a clone costs less than the tables."""
    numbers = itertools.count()
    postgresql.execute("CREATE DATABASE dagster_template")
    with postgresql_run_queue(postgresql.url("dagster_template"), {}, {}):
        pass
    postgresql.cut_connections("dagster_template")

    def make() -> str:
        name = f"test_{next(numbers)}"
        postgresql.execute(f"CREATE DATABASE {name} TEMPLATE dagster_template")
        return postgresql.url(name)

    return make
