"""The queue on each storage."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.run_queue import RunQueue, ephemeral_run_queue, postgresql_run_queue

MakeRunQueue = Callable[..., RunQueue]


@pytest.fixture(params=["ephemeral", "postgresql"])
def run_queue(request: pytest.FixtureRequest) -> Iterator[MakeRunQueue]:
    """Makes a queue with the given options of the coordinator; `concurrency` is the instance's own setting."""
    with ExitStack() as stack:

        def make(concurrency: dict[str, Any] | None = None, **config: Any) -> RunQueue:
            if request.param == "ephemeral":
                return stack.enter_context(ephemeral_run_queue(config, concurrency or {}))
            url = request.getfixturevalue("new_database")()
            return stack.enter_context(postgresql_run_queue(url, config, concurrency or {}))

        yield make
