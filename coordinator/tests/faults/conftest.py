"""A system to break, for each test a new one."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.artifacts import kept_if_a_test_fails
from tests.faults.scene import Scene, opened_scene
from tests.postgresql import PostgreSQL


def pytest_addoption(parser: pytest.Parser) -> None:
    """The seed of the random moments."""
    parser.addoption("--seed", type=int, default=None, help="Seed of the random moments; a new one by default.")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Printed, so that a failure can be run again."""
    given: int | None = request.config.getoption("--seed")
    chosen = random.SystemRandom().randrange(10**6) if given is None else given
    print(f"--seed {chosen}")  # noqa: T201 - pytest shows it where the test fails
    return chosen


@pytest.fixture
def scene(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    postgresql: PostgreSQL,
    new_database: Callable[[], str],
    seed: int,
) -> Iterator[Scene]:
    """Two code servers, the daemon and the webserver on PostgreSQL."""
    with (
        kept_if_a_test_fails(request, tmp_path / "home") as home,
        opened_scene(home, postgresql, new_database(), seed) as opened,
    ):
        yield opened
