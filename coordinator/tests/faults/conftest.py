"""A system to break, for each test a new one."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from harness.artifacts import kept_if_a_test_fails
from harness.half_dead import HalfDead, half_dead
from harness.system import ROOT
from tests.faults.scene import Scene, instance_config, opened_scene
from tests.postgresql import PostgreSQL

DATABASE = "DATABASE_OF_THE_TEST"
"""The variable with the address of the database, which is a proxy's for the daemon alone."""


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
def open_scene(
    request: pytest.FixtureRequest, tmp_path: Path, postgresql: PostgreSQL, seed: int
) -> Iterator[Callable[..., Scene]]:
    """Opens a scene on a database of the server, with a `dagster.yaml` of its own where one is given."""
    with ExitStack() as stack:
        home = stack.enter_context(kept_if_a_test_fails(request, tmp_path / "home"))

        def opened(url: str, config: Mapping[str, Any] | None = None) -> Scene:
            return stack.enter_context(opened_scene(home, postgresql, url, seed, config))

        yield opened


@pytest.fixture
def scene(open_scene: Callable[..., Scene], new_database: Callable[[], str]) -> Scene:
    """Two code servers, the daemon and the webserver on PostgreSQL."""
    return open_scene(new_database())


@pytest.fixture
def way(postgresql: PostgreSQL) -> Iterator[HalfDead]:
    """The daemon's way to the database."""
    with half_dead(postgresql.port) as way:
        yield way


@pytest.fixture
def by_its_own_way(
    open_scene: Callable[..., Scene],
    postgresql: PostgreSQL,
    new_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    way: HalfDead,
) -> Callable[..., Scene]:
    """Opens a scene whose daemon alone reaches the database that way, with the time limits that are deployed.

    It takes options of `code_location_limits`.
    """
    url = new_database()
    monkeypatch.setenv(DATABASE, url)
    deployed = yaml.safe_load((ROOT / "deploy" / "compose" / "dagster.yaml").read_text())
    limits = urlencode(deployed["storage"]["postgres"]["postgres_db"]["params"])
    proxied = f"{url.replace(f':{postgresql.port}/', f':{way.port}/')}?{limits}"

    def opened(**options: Any) -> Scene:
        config = instance_config(url)
        config["storage"] = {"postgres": {"postgres_url": {"env": DATABASE}}}
        config["run_coordinator"]["config"]["code_location_limits"].update(options)
        scene = open_scene(url, config)
        # It starts anew, by the proxy; the runs that it starts don't take it.
        daemon = scene.system.daemon
        daemon.stop()
        daemon.command = ["env", f"{DATABASE}={proxied}", *daemon.command]
        daemon.start()
        return scene

    return opened
