"""The order of the queue that the daemon keeps in memory."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from clt_queued_run_coordinator._dagster import run_database
from clt_queued_run_coordinator.daemon import queued_runs
from clt_queued_run_coordinator.daemon.queued_runs import FULL_READ_INTERVAL, RECHECKED_PER_TICK, QueuedRuns
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.tags import PRIORITY_TAG
from tests.in_process.statements import Statements
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]


class Kept:
    """A queue in the database, and what is kept of it."""

    def __init__(self, queue: RunQueue) -> None:
        self.queue = queue
        self.queued = QueuedRuns()

    def read(self, later: timedelta = timedelta(0)) -> list[str]:
        """Bring it up to date, now or later; returns the statements."""
        now = datetime.now(timezone.utc) + later  # these databases run on this machine's clock
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


def test_a_change_behind_dagsters_back_is_found_in_turn(kept: Kept) -> None:
    """A row that somebody wrote into the database is looked up anew sooner or later."""
    run_ids = kept.queue.queue(A, RECHECKED_PER_TICK + 5)
    for _ in range(3):
        kept.read()
    with run_database(kept.queue.instance).connect() as connection:
        connection.execute(RunTagsTable.insert(), [{"run_id": run_ids[-1], "key": PRIORITY_TAG, "value": "1"}])
    for _ in range(3):
        kept.read()
    assert kept.order(A)[0] == RECHECKED_PER_TICK + 4


def test_known_runs_are_not_looked_up(kept: Kept) -> None:
    """Three statements, however long the queue is: what was changed, how many there are, and some tags in turn."""
    kept.queue.copy(kept.queue.queue(A, 1)[0], 1200)
    for _ in range(3):
        kept.read()
    assert len(kept.read()) == 3


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


def test_runs_that_are_gone_are_kept_for_who_asks_and_not_for_ever(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a Dagster that reads the runs in progress in another way nobody asks."""
    monkeypatch.setattr(queued_runs, "DEPARTED_KEPT", 3)
    run_ids = kept.queue.queue(A, 6)
    kept.read()
    gone = []
    for run_id in run_ids:
        kept.queue.instance.delete_run(run_id)
        kept.read()
        gone.append(len(kept.queued.departed))
    assert gone == [1, 2, 3, 4, 1, 2]


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
    kept.read(later=FULL_READ_INTERVAL)
    assert kept.order(A) == [0, 1, 2]


def changed_at(kept: Kept, run_id: str, when: datetime) -> None:
    """Let the last change of a run have been at another moment."""
    with run_database(kept.queue.instance).connect() as connection:
        stored = when.replace(tzinfo=None)
        connection.execute(RunsTable.update().where(RunsTable.c.run_id == run_id).values(update_timestamp=stored))


@pytest.mark.parametrize("gap", [20, 40, 59])
def test_a_change_soon_after_a_reading_is_seen_however_long_the_next_one_takes(kept: Kept, gap: int) -> None:
    """A priority, 5 s after one; another run is queued 5 s before the next one, and has changed last."""
    _, second = kept.queue.queue(A, 2)
    for _ in range(3):
        kept.read()
    now = datetime.now(timezone.utc)
    kept.queue.instance.add_run_tags(second, {PRIORITY_TAG: "3"})
    changed_at(kept, second, now + timedelta(seconds=5))
    (late,) = kept.queue.queue(B)
    changed_at(kept, late, now + timedelta(seconds=gap - 5))
    kept.read(later=timedelta(seconds=gap))
    assert kept.order(A) == [1, 0]
    assert kept.queued.counts() == {A: 2, B: 1}


def test_one_that_came_while_another_one_went_is_seen(kept: Kept) -> None:
    """Canceled and launched between two readings half a minute apart, so their number is as before."""
    first, _ = kept.queue.queue(A, 2)
    for _ in range(3):
        kept.read()
    kept.queue.instance.report_run_canceled(kept.queue.run(first))
    (new,) = kept.queue.queue(B)
    changed_at(kept, new, datetime.now(timezone.utc) + timedelta(seconds=2))
    kept.read(later=timedelta(seconds=30))
    assert kept.queued.counts() == {A: 1, B: 1}


def test_a_database_whose_clock_went_back_is_read_as_a_whole(kept: Kept) -> None:
    """A change before the moment of the last reading isn't missed."""
    _, second = kept.queue.queue(A, 2)
    for _ in range(3):
        kept.read()
    back = timedelta(minutes=-10)
    kept.queue.instance.add_run_tags(second, {PRIORITY_TAG: "3"})
    changed_at(kept, second, datetime.now(timezone.utc) + back)
    kept.read(later=back)
    assert kept.order(A) == [1, 0]


def test_a_reading_that_failed_hides_no_change(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one begins where the last one that succeeded began."""
    _, second = kept.queue.queue(A, 2)
    for _ in range(3):
        kept.read()
    kept.queue.instance.add_run_tags(second, {PRIORITY_TAG: "3"})
    with monkeypatch.context() as patch:
        patch.setattr(queued_runs.QueuedRuns, "_look_up", lambda *_: (_ for _ in ()).throw(ConnectionError))
        with pytest.raises(ConnectionError):
            kept.read(later=timedelta(seconds=20))
    kept.read(later=timedelta(seconds=50))
    assert kept.order(A) == [1, 0]


def test_a_run_without_a_label_is_placed_by_its_body(kept: Kept) -> None:
    """A Dagster that does not label runs, or rows that somebody deleted."""
    kept.queue.queue(A, 2)
    with run_database(kept.queue.instance).connect() as connection:
        connection.execute(RunTagsTable.delete())
    kept.read()
    assert kept.queued.counts() == {A: 2}
    assert len(kept.queued.untagged) == 2
