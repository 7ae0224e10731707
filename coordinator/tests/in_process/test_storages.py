"""Run storages that the coordinator refuses."""

from collections.abc import Callable

import pytest
from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from dagster import DagsterInstance
from dagster._core.storage.runs import InMemoryRunStorage, RunStorage
from tests.run_queue import RunQueue

MakeRunQueue = Callable[..., RunQueue]

# What `dagster-mysql` has, which the tests' environment doesn't.
MySQLRunStorage = type(
    "MySQLRunStorage", (InMemoryRunStorage,), {"__module__": "dagster_mysql.run_storage.run_storage"}
)
OwnMySQLRunStorage = type("OwnMySQLRunStorage", (MySQLRunStorage,), {})


class NoSql:
    """Stands for a run storage that isn't SQL."""


def register(storage: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the coordinator with an instance on this run storage."""
    with DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr(type(instance), "run_storage", property(lambda _: storage))
        CLTQueuedRunCoordinator().register_instance(instance)
        monkeypatch.undo()


@pytest.mark.parametrize("storage", [MySQLRunStorage, OwnMySQLRunStorage])
def test_mysql_is_refused(storage: Callable[[], RunStorage], monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line with name, cause and cure; also a class derived from it."""
    with pytest.raises(ConfigurationError) as raised:
        register(storage(), monkeypatch)
    assert str(raised.value) == (
        f"MySQL (dagster-mysql, the run storage {storage.__name__}) is not supported: its key-value store compares"
        " only the first 64 characters of a key, so live changes to code locations with long names could overwrite"
        " each other, and this package isn't tested on it; use PostgreSQL with dagster-postgres,"
        " or SQLite for a trial."
    )


def test_a_run_storage_without_sql_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the class's name."""
    with pytest.raises(ConfigurationError) as raised:
        register(NoSql(), monkeypatch)
    assert str(raised.value) == (
        f"The run storage {__name__}.NoSql is not supported: it is not a subclass of Dagster's"
        " SqlRunStorage, and the runs"
        " of each code location are counted with SQL; use PostgreSQL with dagster-postgres, or SQLite for a trial."
    )


def test_sql_storages_are_taken(run_queue: MakeRunQueue) -> None:
    """SQLite and PostgreSQL."""
    assert run_queue().coordinator.has_instance
