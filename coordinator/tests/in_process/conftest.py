"""The queue on each storage."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.run_queue import B, RunQueue, ephemeral_run_queue, postgresql_run_queue, stored_run_queue

MakeRunQueue = Callable[..., RunQueue]


@pytest.fixture(params=["ephemeral", "postgresql"])
def run_queue(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[MakeRunQueue]:
    """Makes a queue with the given options of the coordinator; `concurrency` is the instance's own setting."""
    with ExitStack() as stack:

        def make(concurrency: dict[str, Any] | None = None, **config: Any) -> RunQueue:
            if request.param == "ephemeral":
                return stack.enter_context(ephemeral_run_queue(config, concurrency or {}))
            return stack.enter_context(postgresql_run_queue(new_database(), config, concurrency or {}))

        yield make


@pytest.fixture(params=["sqlite", "postgresql"])
def stored_queue(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[RunQueue]:
    """A queue that others can open too, in files and on PostgreSQL; code location b is held."""
    storage = None
    if request.param == "postgresql":
        storage = {"postgres": {"postgres_url": new_database()}}
    with stored_run_queue({"code_location_limits": {"locations": {B: 0}}}, {}, storage) as queue:
        yield queue


@pytest.fixture
def same_database(new_database: Callable[[], str]) -> Iterator[MakeRunQueue]:
    """Opens a new instance with a new coordinator and a new daemon, each time on the same PostgreSQL database."""
    url = new_database()
    with ExitStack() as stack:
        yield lambda **config: stack.enter_context(postgresql_run_queue(url, config, {}))
