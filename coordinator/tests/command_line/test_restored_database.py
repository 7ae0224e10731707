"""A database that is restored from a dump in a second deployment."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.command_line.conftest import Home
from tests.postgresql import PostgreSQL
from tests.run_queue import A, B


def test_a_restored_queue_that_is_paused_before_the_first_tick_starts_nothing(
    postgresql: PostgreSQL, new_database: Callable[[], str], tmp_path: Path
) -> None:
    """`pause --all` needs no daemon; `resume --all` ends the dump's pauses too and leaves its live limits."""
    file = tmp_path / "dagster.dump"
    with ExitStack() as stack:
        dumped, empty = new_database(), new_database()
        old, new = home_on(dumped, tmp_path / "old", stack), home_on(empty, tmp_path / "new", stack)
        queue = old.queue()
        queue.queue(A, 3)
        queue.queue(B, 2)
        assert old.run("set-limit", A, "1", "--reason", "the index is slow").code == 0
        assert old.run("pause", B).code == 0
        postgresql.dump(dumped, file)
        postgresql.restore(file, empty)

        assert new.run("pause", "--all", "--reason", "restored").code == 0
        restored = new.queue()
        assert [restored.tick(), restored.tick()] == [{}, {}]
        assert "the index is slow" in new.run("history", "--output", "json").out
        assert new.run("resume", "--all").code == 0
        assert restored.tick() == {A: 1, B: 2}


def home_on(database: str, folder: Path, stack: ExitStack) -> Home:
    """A deployment on a database, in a new folder."""
    folder.mkdir()
    return Home(folder, {"storage": {"postgres": {"postgres_url": database}}}, stack)
