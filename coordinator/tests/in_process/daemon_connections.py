"""A queue whose daemon connects as one in production does, and a look at its connections."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import psycopg2
import pytest
import sqlalchemy as db
from clt_queued_run_coordinator import _dagster
from dagster import DagsterInstance
from tests.run_queue import RunQueue, stored_run_queue

THREADS: dict[str, Any] = {"dequeue_use_threads": True, "dequeue_num_workers": 4}


@contextmanager
def queue_on(url: str, limits: Mapping[str, Any] = MappingProxyType({}), **config: Any) -> Iterator[RunQueue]:
    """A queue whose instance connects as a daemon's does, without pools of its own.

    Args:
        url: The database.
        limits: The options of `code_location_limits`.
        config: Other options of the coordinator.
    """
    storage = {"postgres": {"postgres_url": url}}
    with stored_run_queue({**config, "code_location_limits": dict(limits)}, {}, storage) as queue:
        yield queue
        for engine in engines(queue.instance):
            engine.dispose()


def engines(instance: DagsterInstance) -> list[db.engine.Engine]:
    """What each storage connects through."""
    found: list[db.engine.Engine] = []

    def note(engine: db.engine.Engine) -> db.engine.Engine:
        found.append(engine)
        return engine

    _dagster.replace_engines(instance, note)
    return found


class Opened:
    """Counts the connections that this process opens from here on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        own = psycopg2.connect

        def connect(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return own(*args, **kwargs)

        monkeypatch.setattr(psycopg2, "connect", connect)
