"""A system to break, for each test a new one."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness.artifacts import kept_if_a_test_fails
from harness.half_dead import HalfDead, half_dead
from tests.faults.scene import Scene, instance_config, opened_scene
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


DATABASE = "DATABASE_OF_THE_TEST"
"""The variable with the address of the database, which is a proxy's for the daemon alone."""


@pytest.fixture
def url(new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A database, which the variable names for every program."""
    address = new_database()
    monkeypatch.setenv(DATABASE, address)
    return address


@pytest.fixture
def way(postgresql: PostgreSQL) -> Iterator[HalfDead]:
    """The daemon's way to the database."""
    with half_dead(postgresql.port) as way:
        yield way


@pytest.fixture
def by_its_own_way(
    request: pytest.FixtureRequest, tmp_path: Path, postgresql: PostgreSQL, url: str, seed: int, way: HalfDead
) -> Iterator[Callable[[dict[str, Any]], Scene]]:
    """Opens a scene with options of `code_location_limits`, whose daemon alone reaches the database that way."""
    with ExitStack() as stack:
        home = stack.enter_context(kept_if_a_test_fails(request, tmp_path / "home"))

        def opened(options: dict[str, Any]) -> Scene:
            config = instance_config(url)
            config["storage"] = {"postgres": {"postgres_url": {"env": DATABASE}}}
            config["run_coordinator"]["config"]["code_location_limits"].update(options)
            scene = stack.enter_context(opened_scene(home, postgresql, url, seed, config))
            # It starts anew, by the proxy; the runs that it starts don't take it.
            daemon = scene.system.daemon
            daemon.stop()
            proxied = url.replace(f":{postgresql.port}/", f":{way.port}/")
            daemon.command = ["env", f"{DATABASE}={proxied}", *daemon.command]
            daemon.start()
            return scene

        yield opened


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
