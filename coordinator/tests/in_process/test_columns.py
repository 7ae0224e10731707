"""The columns of the table of runs. Dagster looks them up in the database for each run that it reads or writes."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import sqlalchemy as db
from clt_queued_run_coordinator import _dagster
from tests.run_queue import A, stored_run_queue


def test_submits_and_starts_do_not_ask_for_them_again(new_database: Callable[[], str]) -> None:
    """The contract with each supported version: once the coordinator is loaded, the first answer is kept."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "pg_attribute" in statement:
            asked.append(statement)

    storage = {"postgres": {"postgres_url": new_database()}}
    with stored_run_queue({"max_concurrent_runs": 4}, {}, storage) as queue:
        db.event.listen(db.Engine, "before_cursor_execute", note)
        try:
            queue.queue(A, 2)  # the first one is created before the coordinator is loaded
            assert queue.tick() == {A: 2}
            assert asked
            asked.clear()
            queue.queue(A, 2)
            assert queue.tick() == {A: 2}
            assert asked == []
        finally:
            db.event.remove(db.Engine, "before_cursor_execute", note)


def test_a_missing_column_is_asked_for_until_a_migration_has_added_it() -> None:
    """A program that lives through `dagster instance migrate` uses the column afterwards."""
    stored = iter([False, False, True])
    storage = SimpleNamespace(has_run_stats_index_cols=lambda: next(stored))
    instance: Any = SimpleNamespace(run_storage=storage)
    _dagster.remember_columns(instance)
    assert [storage.has_run_stats_index_cols() for _ in range(5)] == [False, False, True, True, True]
