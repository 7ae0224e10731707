"""The order of the queue that the daemon keeps in memory."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from unittest import mock

import pytest
from clt_queued_run_coordinator._dagster import run_database
from clt_queued_run_coordinator.daemon import queued_runs
from clt_queued_run_coordinator.daemon.queued_runs import WHOLE_READING_INTERVAL, QueuedRuns
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.tags import PRIORITY_TAG
from tests.in_process.statements import Statements
from tests.postgresql import PostgreSQL
from tests.run_queue import A, B, RunQueue, postgresql_run_queue

MakeRunQueue = Callable[..., RunQueue]


class Kept:
    """A queue in the database, and what is kept of it."""

    def __init__(self, queue: RunQueue) -> None:
        self.queue = queue
        self.queued = QueuedRuns()

    def read(self, later: timedelta = timedelta(0)) -> list[str]:
        """Bring it up to date, now or later; returns the statements."""
        now = datetime.now(timezone.utc) + later
        with Statements() as statements, run_database(self.queue.instance).connect() as connection:
            self.queued.refresh(connection, now)
        return statements.executed

    def order(self, code_location: str) -> list[int]:
        """The runs of a code location in their order, counted from 0 as they were created."""
        with run_database(self.queue.instance).connect() as connection:
            all_ids = sorted(connection.execute(RunsTable.select()).scalars())
        return [all_ids.index(run.storage_id) for run in self.queued.in_order(code_location)]


@pytest.fixture
def kept(run_queue: MakeRunQueue) -> Kept:
    """An empty queue."""
    return Kept(run_queue())


def test_the_order_is_dagsters_own(kept: Kept) -> None:
    """Priority, then age, of each code location."""
    kept.queue.queue(A, 2)
    kept.queue.queue(B, 1)
    kept.queue.queue(A, 1, priority=5)
    kept.queue.queue(A, 1, priority=-1)
    kept.queue.queue(A, 1)
    kept.read()
    assert kept.order(A) == [3, 0, 1, 5, 4]
    assert kept.order(B) == [2]
    assert kept.queued.counts() == {A: 5, B: 1}


def test_what_is_kept_is_what_a_new_reading_finds(kept: Kept) -> None:
    """After runs have come, gone, come back and changed."""
    first = kept.queue.queue(A, 4)
    kept.read()
    kept.queue.instance.report_run_canceled(kept.queue.run(first[0]))
    kept.queue.instance.delete_run(first[1])
    kept.queue.instance.add_run_tags(first[3], {PRIORITY_TAG: "3"})
    kept.queue.queue(B, 2)
    kept.read()
    assert kept.order(A) == [2, 1]
    assert kept.queued.counts() == {A: 2, B: 2}
    new = Kept(kept.queue)
    new.read()
    assert (new.order(A), new.order(B)) == (kept.order(A), kept.order(B))


def test_a_change_that_is_read_half_written_is_read_again(kept: Kept) -> None:
    """Dagster writes the run first and its tags afterwards."""
    _, second = kept.queue.queue(A, 2)
    kept.queue.instance.add_run_tags(second, {PRIORITY_TAG: "3"})
    with run_database(kept.queue.instance).connect() as connection:
        connection.execute(RunTagsTable.update().where(RunTagsTable.c.key == PRIORITY_TAG).values(value="0"))
    kept.read()
    assert kept.order(A) == [0, 1]
    with run_database(kept.queue.instance).connect() as connection:
        connection.execute(RunTagsTable.update().where(RunTagsTable.c.key == PRIORITY_TAG).values(value="3"))
    kept.read()
    assert kept.order(A) == [1, 0]


def test_a_change_behind_dagsters_back_is_found_at_the_next_reading_of_all(kept: Kept) -> None:
    """A row that somebody wrote into the database by hand."""
    run_ids = kept.queue.queue(A, 25)
    for _ in range(3):
        kept.read()
    with run_database(kept.queue.instance).connect() as connection:
        connection.execute(RunTagsTable.insert(), [{"run_id": run_ids[-1], "key": PRIORITY_TAG, "value": "1"}])
    kept.read()
    assert kept.order(A)[0] == 0
    kept.read(later=WHOLE_READING_INTERVAL)
    assert kept.order(A)[0] == 24


def test_known_runs_are_not_looked_up(kept: Kept) -> None:
    """Two statements, however long the queue is: what was changed, and how many there are."""
    kept.queue.copy(kept.queue.queue(A, 1)[0], 1200)
    for _ in range(3):
        kept.read()
    assert len(kept.read()) == 2


def test_the_whole_queue_is_read_by_one_statement(kept: Kept) -> None:
    """However long it is, if it is tagged; beside the one for what has just changed."""
    kept.queue.copy(kept.queue.queue(A, 1, priority=3)[0], 1200)
    kept.queue.queue(B)
    assert len(kept.read()) == 2
    assert kept.queued.counts() == {A: 1201, B: 1}


def _changed_at(kept: Kept, run_id: str, at: datetime) -> None:
    with run_database(kept.queue.instance).connect() as connection:
        connection.execute(RunsTable.update().where(RunsTable.c.run_id == run_id).values(update_timestamp=at))


@pytest.mark.parametrize("seconds", [16, 40, 59])
def test_a_change_right_after_a_reading_is_seen_at_the_next_one_however_late_it_comes(
    kept: Kept, seconds: int
) -> None:
    """A priority is given soon after a reading, and more runs are queued just before the next one."""
    *_, last = kept.queue.queue(A, 20)
    began = datetime.now(timezone.utc)
    kept.read()
    kept.queue.instance.add_run_tags(last, {PRIORITY_TAG: "9"})
    _changed_at(kept, last, began + timedelta(seconds=5))
    (late,) = kept.queue.queue(A)
    _changed_at(kept, late, began + timedelta(seconds=seconds - 5))
    kept.read(later=timedelta(seconds=seconds))
    assert kept.order(A) == [19, *range(19), 20]


def test_a_run_that_replaces_another_one_between_two_readings_is_seen(kept: Kept) -> None:
    """The number of runs is the same as before."""
    first, *_ = kept.queue.queue(A, 3)
    began = datetime.now(timezone.utc)
    kept.read()
    kept.queue.instance.report_run_canceled(kept.queue.run(first))
    (new,) = kept.queue.queue(B)
    _changed_at(kept, new, began + timedelta(seconds=2))
    _changed_at(kept, kept.queue.queue(A)[0], began + timedelta(seconds=28))
    kept.read(later=timedelta(seconds=30))
    assert kept.queued.counts() == {A: 3, B: 1}
    assert list(kept.queued.departed.values()) == [A]


def test_a_change_by_a_clock_that_is_behind_is_seen_at_the_next_reading(kept: Kept) -> None:
    """As far as clocks may differ."""
    _, second = kept.queue.queue(A, 2)
    began = datetime.now(timezone.utc)
    kept.read()
    kept.queue.instance.add_run_tags(second, {PRIORITY_TAG: "9"})
    _changed_at(kept, second, began - timedelta(seconds=13))
    kept.read(later=timedelta(seconds=1))
    assert kept.order(A) == [1, 0]


def test_after_the_databases_clock_was_set_back_all_is_read(kept: Kept) -> None:
    """Whatever changed in between looks older than the last reading."""
    _, second = kept.queue.queue(A, 2)
    kept.read(later=timedelta(hours=1))
    kept.queue.instance.add_run_tags(second, {PRIORITY_TAG: "9"})
    kept.read()
    assert kept.order(A) == [1, 0]


def test_after_a_reading_that_failed_all_is_read(kept: Kept) -> None:
    """It may have seen a part."""
    _, second = kept.queue.queue(A, 2)
    kept.read()
    kept.queue.instance.add_run_tags(second, {PRIORITY_TAG: "9"})
    with (
        mock.patch("clt_queued_run_coordinator.daemon.queued_runs.look_up", side_effect=ConnectionError),
        pytest.raises(ConnectionError),
    ):
        kept.read()
    kept.read(later=timedelta(seconds=50))
    assert kept.order(A) == [1, 0]


def test_a_run_that_nobody_saw_coming_or_going_is_noticed(kept: Kept) -> None:
    """Its time of change is an old one, as where clocks are far apart; the number of runs tells."""
    first, *_ = kept.queue.queue(A, 3)
    kept.read()
    old = datetime(2020, 1, 1)
    with run_database(kept.queue.instance).connect() as connection:
        connection.execute(RunsTable.update().values(update_timestamp=old))
    kept.queue.copy(first, 1)
    kept.read()
    assert kept.queued.counts() == {A: 4}
    kept.queue.instance.delete_run(first)
    kept.read()
    assert kept.order(A) == [0, 1, 2]
    assert list(kept.queued.departed.values()) == [A]


def test_now_and_then_the_whole_queue_is_read(kept: Kept) -> None:
    """One that came and one that went unseen at the same time leave the number as it was."""
    first, *_ = kept.queue.queue(A, 3)
    kept.read()
    (copy,) = kept.queue.copy(first, 1)
    kept.queue.instance.delete_run(first)
    with run_database(kept.queue.instance).connect() as connection:
        connection.execute(
            RunsTable.update().where(RunsTable.c.run_id == copy).values(update_timestamp=datetime(2020, 1, 1))
        )
    before = list(kept.queued.in_order(A))
    kept.read()
    assert list(kept.queued.in_order(A)) == before
    kept.read(later=WHOLE_READING_INTERVAL)
    assert kept.order(A) == [0, 1, 2]


def test_a_run_without_a_label_is_placed_by_its_body(kept: Kept) -> None:
    """A Dagster that does not label runs, or rows that somebody deleted."""
    kept.queue.queue(A, 2)
    with run_database(kept.queue.instance).connect() as connection:
        connection.execute(RunTagsTable.delete())
    kept.read()
    assert kept.queued.counts() == {A: 2}
    assert len(kept.queued.untagged) == 2


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/Los_Angeles"])
def test_a_change_is_seen_in_any_time_zone_of_the_database(
    new_database: Callable[[], str], postgresql: PostgreSQL, zone: str
) -> None:
    """Dagster's times of change have none, and are in the one of the session that wrote them."""
    url = new_database()
    postgresql.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET timezone = '{zone}'")
    with postgresql_run_queue(url, {}, {}) as queue:
        kept = Kept(queue)
        *_, last = queue.queue(A, 20)
        kept.read()
        kept.read()
        kept.read()
        assert not any("run_body" in statement for statement in kept.read())
        queue.instance.add_run_tags(last, {PRIORITY_TAG: "9"})
        kept.read(later=timedelta(seconds=40))
        assert kept.order(A)[0] == 19


def test_runs_that_are_gone_are_kept_for_who_asks_and_not_for_ever(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks where Dagster reads the runs in progress in another way."""
    monkeypatch.setattr(queued_runs, "DEPARTED_KEPT", 3)
    run_ids = kept.queue.queue(A, 6)
    kept.read()
    gone = []
    for run_id in run_ids:
        kept.queue.instance.delete_run(run_id)
        kept.read()
        gone.append(len(kept.queued.departed))
    assert gone == [1, 2, 3, 4, 1, 2]


def test_a_reading_of_all_that_fails_loses_nothing(kept: Kept) -> None:
    """Neither a run that has left, nor what bodies have told."""
    first, *_ = kept.queue.queue(A, 3)
    kept.read()
    kept.queue.instance.delete_run(first)
    with (
        mock.patch("clt_queued_run_coordinator.daemon.queued_runs.look_up", side_effect=ConnectionError),
        pytest.raises(ConnectionError),
    ):
        kept.read(later=WHOLE_READING_INTERVAL)
    kept.read()
    assert list(kept.queued.departed.values()) == [A]
    assert kept.order(A) == [0, 1]
