"""Fixtures that several folders of tests share."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.postgresql import PostgreSQL, running_postgresql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One real PostgreSQL server for the whole session."""
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def new_database(postgresql: PostgreSQL) -> Callable[[], str]:
    """Makes an empty database and returns its URL."""
    numbers = itertools.count()

    def make() -> str:
        name = f"test_{next(numbers)}"
        postgresql.execute(f"CREATE DATABASE {name}")
        return postgresql.url(name)

    return make
