"""Live changes that end by themselves: what held before holds again, by the database's clock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from clt_queued_run_coordinator._dagster import run_database
from clt_queued_run_coordinator.policy.changes import (
    EVERY_CODE_LOCATION,
    PREFIX,
    EndHasPassedError,
    Kind,
    LiveChanges,
)
from clt_queued_run_coordinator.store import database_clock, document, history, live
from clt_queued_run_coordinator.store.history import HistoryEntry
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]
HOUR = timedelta(hours=1)


class Clock:
    """The database's clock, moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta(0)
        own = database_clock.moment
        monkeypatch.setattr(database_clock, "moment", lambda stated: own(stated) + self.ahead)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The database's clock."""
    return Clock(monkeypatch)


@pytest.fixture
def queue(run_queue: MakeRunQueue) -> RunQueue:
    """A queue with three runs of a, which may have four in progress."""
    queue = run_queue(max_concurrent_runs=10, code_location_limits={"default": 4})
    queue.queue(A, 3)
    return queue


def changes(queue: RunQueue) -> LiveChanges:
    """The live changes in force."""
    with run_database(queue.instance).connect() as connection:
        return live.read(connection)


def told(queue: RunQueue) -> list[HistoryEntry]:
    """The history."""
    with run_database(queue.instance).connect() as connection:
        return history.read(connection)


def test_a_pause_ends_by_itself(queue: RunQueue, clock: Clock) -> None:
    """From the first tick at its end on the runs start."""
    pause = live.pause(queue.instance, A, HOUR)
    assert queue.tick() == {}
    clock.ahead = HOUR - timedelta(minutes=1)
    assert queue.tick() == {}
    clock.ahead = HOUR
    assert changes(queue).read_at >= (pause.until or datetime.max)
    assert queue.tick() == {A: 3}


def test_a_pause_that_stays_goes_on_below_one_that_ends(queue: RunQueue, clock: Clock) -> None:
    """In either order; a deploy doesn't end an incident."""
    live.pause(queue.instance, A, reason="incident")
    live.pause(queue.instance, A, HOUR, reason="deploy")
    assert changes(queue).pause(A) == changes(queue).pauses[A]
    clock.ahead = 2 * HOUR
    assert queue.tick() == {}
    live.resume(queue.instance, A)
    assert queue.tick() == {A: 3}


def test_a_short_pause_does_not_end_a_longer_one(queue: RunQueue, clock: Clock) -> None:
    """The one that ends later holds, whoever comes last."""
    live.pause(queue.instance, A, 4 * HOUR, reason="incident")
    live.pause(queue.instance, A, HOUR, reason="deploy")
    clock.ahead = 2 * HOUR
    assert queue.tick() == {}
    assert [entry.reason for entry in told(queue)] == ["deploy", "incident"]
    clock.ahead = 4 * HOUR
    assert queue.tick() == {A: 3}


def test_resume_ends_both_pauses_and_closes_the_breaker(queue: RunQueue) -> None:
    """Nothing is left that would hold."""
    live.pause(queue.instance, A)
    live.pause(queue.instance, A, HOUR)
    live.write(queue.instance, Kind.BREAKER, A, True, until=HOUR, by="circuit breaker")
    live.resume(queue.instance, A)
    assert queue.tick() == {A: 3}


def test_a_pause_that_stays_replaces_one_that_ends(queue: RunQueue, clock: Clock) -> None:
    """It has no end."""
    live.pause(queue.instance, A, HOUR)
    live.pause(queue.instance, A)
    assert changes(queue).pauses_until == {}
    clock.ahead = 2 * HOUR
    assert queue.tick() == {}


def test_a_limit_that_stays_comes_back_after_one_that_ends(queue: RunQueue, clock: Clock) -> None:
    """And clear-limit takes back both."""
    live.set_limit(queue.instance, A, 2)
    live.set_limit(queue.instance, A, 1, HOUR)
    assert queue.tick() == {A: 1}
    clock.ahead = HOUR
    assert queue.tick() == {A: 1}
    live.set_limit(queue.instance, A, 0, HOUR)
    assert queue.tick() == {}
    live.clear_limit(queue.instance, A)
    assert queue.tick() == {A: 1}
    assert changes(queue).code_locations == set()


def test_a_pause_of_all_that_ends_lets_each_go_back_to_what_it_was(queue: RunQueue, clock: Clock) -> None:
    """Paused alone, resumed alone, and first seen meanwhile."""
    live.pause(queue.instance, A)
    live.resume(queue.instance, B)
    live.pause(queue.instance, EVERY_CODE_LOCATION, HOUR, known=[A, B])
    queue.queue(B, 1)
    queue.queue("code-location-c", 1)
    assert queue.tick() == {}
    clock.ahead = HOUR
    assert queue.tick() == {B: 1, "code-location-c": 1}


def test_an_open_breaker_holds_until_its_end(queue: RunQueue, clock: Clock) -> None:
    """Its part of the package says who, until when and why."""
    live.write(queue.instance, Kind.BREAKER, A, True, until=HOUR, reason="5 failed runs", by="circuit breaker")
    assert queue.tick() == {}
    breaker = changes(queue).breakers.get(A)
    assert breaker
    assert (breaker.by, breaker.reason) == ("circuit breaker", "5 failed runs")
    clock.ahead = HOUR
    assert queue.tick() == {A: 3}


def test_a_window_opens_and_closes(run_queue: MakeRunQueue, clock: Clock) -> None:
    """By the database's clock, at the ticks at its beginning and at its end."""
    # Tomorrow from 8:00 to 10:00, so that nothing changes while the test runs.
    now = datetime.now(timezone.utc)
    eight = (now + timedelta(days=1)).replace(hour=8, minute=0, second=0, microsecond=0)
    entry = {"limit": 3, "windows": [{"cron": f"0 8 {eight.day} {eight.month} *", "for": "2h", "limit": 1}]}
    limits = {"locations": {A: entry}}
    queue = run_queue(max_concurrent_runs=10, code_location_limits=limits)
    queue.queue(A, 5)
    clock.ahead = eight - now
    assert queue.tick() == {A: 1}
    live.set_limit(queue.instance, A, 2, HOUR)
    assert queue.tick() == {A: 1}
    clock.ahead += HOUR
    assert queue.tick() == {}
    clock.ahead += HOUR
    assert queue.tick() == {A: 1}


def test_an_end_that_has_passed_is_refused_and_nothing_is_written(queue: RunQueue, clock: Clock) -> None:
    """By the database's clock, whatever this machine's says."""
    clock.ahead = timedelta(days=1)
    with pytest.raises(EndHasPassedError, match="by the database's clock it is"):
        live.pause(queue.instance, A, datetime.now(timezone.utc) + HOUR)
    assert told(queue) == []
    assert queue.tick() == {A: 3}


def test_the_clock_is_read_in_utc_whatever_the_sessions_time_zone(queue: RunQueue) -> None:
    """PostgreSQL says its time in the session's."""
    with run_database(queue.instance).connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TIME ZONE 'Asia/Kolkata'")
        assert abs(live.read(connection).read_at - datetime.now(timezone.utc)) < timedelta(minutes=10)


def test_what_a_version_without_ends_has_written_is_read(queue: RunQueue) -> None:
    """Version 2.0.0 wrote neither an id nor a reason, and null for a limit that was taken back."""
    old = '{"value": %s, "by": "ann@host", "at": "2026-01-01T00:00:00+00:00"}'
    for key, value in {f"limit/{A}": "2", f"limit/{B}": "null", f"paused/{B}": "true"}.items():
        queue.instance.daemon_cursor_storage.set_cursor_values({f"{PREFIX}/{key}": old % value})
    read = changes(queue)
    assert read.unreadable == ()
    assert read.code_locations == {A, B}
    assert queue.tick() == {A: 2}
    live.clear_limit(queue.instance, A)
    assert told(queue)[0].before == 2


def test_each_change_is_told_newest_first(queue: RunQueue) -> None:
    """From what to what, until when and why."""
    live.set_limit(queue.instance, A, 2)
    live.set_limit(queue.instance, A, 3, HOUR, reason="more\nthan  before")
    live.clear_limit(queue.instance, A)
    live.pause(queue.instance, EVERY_CODE_LOCATION, known=[A, B])
    live.resume(queue.instance, A, reason="done")
    entries = told(queue)
    assert [(entry.code_location, entry.change, entry.before, entry.after, entry.reason) for entry in entries] == [
        (A, "paused", True, False, "done"),
        (EVERY_CODE_LOCATION, "paused", None, True, None),
        (A, "limit", 3, None, None),
        (A, "limit", 2, 3, "more than before"),
        (A, "limit", None, 2, None),
    ]
    assert [bool(entry.until) for entry in entries] == [False, False, False, True, False]


def test_only_the_last_changes_are_kept(queue: RunQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are made."""
    monkeypatch.setattr(history, "KEPT", 5)
    for limit in range(9):
        live.set_limit(queue.instance, A, limit)
    assert [entry.after for entry in told(queue)] == [8, 7, 6, 5, 4]


def test_the_history_is_no_live_change_to_a_tick(queue: RunQueue) -> None:
    """What is read at each tick doesn't grow with it."""
    for _ in range(3):
        live.pause(queue.instance, A)
        live.resume(queue.instance, A)
    assert changes(queue).unreadable == ()
    assert not changes(queue).code_locations


@pytest.mark.parametrize("name", ["a b/c%d", "'\"; --", "ünïcödé 🦄", "x" * 300, "limit/paused"])
def test_any_name_has_its_own_changes(queue: RunQueue, name: str) -> None:
    """Slashes, quotes and wild cards stand for themselves."""
    live.set_limit(queue.instance, name, 0, HOUR, reason=name)
    queue.queue(name, 1)
    assert queue.tick() == {A: 3}
    live.clear_limit(queue.instance, name)
    assert queue.tick() == {name: 1}
    assert [entry.code_location for entry in told(queue)] == [name, name]


def test_a_writer_that_fails_leaves_neither_the_change_nor_its_entry(
    queue: RunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are in one transaction."""

    def fail(*_: object) -> None:
        raise RuntimeError("the connection is lost")

    monkeypatch.setattr(history, "record", fail)
    with pytest.raises(RuntimeError):
        live.pause(queue.instance, A, HOUR)
    monkeypatch.undo()
    assert told(queue) == []
    assert queue.tick() == {A: 3}


def test_writers_at_the_same_moment_lose_no_change_and_no_entry(stored_queue: RunQueue) -> None:
    """Four at once, each with other changes of the same code locations."""
    instance = stored_queue.instance

    def write(number: int) -> None:
        for _ in range(3):
            if number == 0:
                live.pause(instance, A, timedelta(hours=1))
            elif number == 1:
                live.set_limit(instance, A, number)
            elif number == 2:
                live.set_limit(instance, A, number, timedelta(hours=1))
            else:
                live.pause(instance, EVERY_CODE_LOCATION, known=[B])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    with run_database(instance).connect() as connection:
        read, entries = live.read(connection), history.read(connection)
    assert set(read.pauses_until) == {A}
    assert set(read.pauses) == {B, EVERY_CODE_LOCATION}
    limit = read.limit(A)
    assert limit
    # Whichever came last: the one that stays takes the other back.
    assert limit.value == next(entry.after for entry in entries if entry.change == "limit")
    assert len(entries) == 12


def rows(queue: RunQueue) -> set[str]:
    """The keys of the live changes that are stored."""
    with queue.storage.connect() as connection:
        return set(document.read_texts(connection, f"{PREFIX}/"))


def test_a_resume_of_what_is_not_paused_leaves_no_row(run_queue: MakeRunQueue) -> None:
    """Neither does taking back a limit that isn't there; somebody has mistyped the name."""
    queue = run_queue()
    live.resume(queue.instance, "mistyped")
    live.clear_limit(queue.instance, "mistyped")
    assert rows(queue) == set()


def test_a_resume_is_kept_only_while_all_are_paused(run_queue: MakeRunQueue) -> None:
    """Whoever resumes all, or only lets the pause end, leaves nothing behind."""
    queue = run_queue()
    live.pause(queue.instance, EVERY_CODE_LOCATION)
    live.resume(queue.instance, A)
    assert rows(queue) == {"paused/*", f"paused/{A}"}
    live.resume(queue.instance, EVERY_CODE_LOCATION)
    assert rows(queue) == set()


def test_what_has_expired_is_deleted_by_the_next_change(run_queue: MakeRunQueue) -> None:
    """And a row that can't be read stays, for `check` to tell."""
    queue = run_queue()
    old = {"by": "somebody", "at": "2020-01-01T00:00:00+00:00", "until": "2020-01-02T00:00:00+00:00"}
    with queue.storage.connect() as connection:
        for kind, value in (("limit-until", 3), ("paused-until", True), ("breaker", True), ("limit", None)):
            document.write(connection, f"{PREFIX}/{kind}/{B}", {**old, "value": value})
        document.write(connection, f"{PREFIX}/paused/{B}", "no change")
    live.set_limit(queue.instance, A, 3)
    assert rows(queue) == {f"limit/{A}", f"paused/{B}"}
