"""The tag that says in Dagster's list of runs what a queued run waits for."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
import sqlalchemy as db
from clt_queued_run_coordinator.daemon import waits_for
from clt_queued_run_coordinator.policy.holds import WAITS_FOR_TAG
from clt_queued_run_coordinator.store import live
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]


@pytest.fixture(autouse=True)
def at_each_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags are written at each tick."""
    monkeypatch.setattr(waits_for, "LOOK_SECONDS", 0)


def wait_a_minute(queue: RunQueue, *run_ids: str) -> None:
    """Let runs, or all of them, have been created a minute earlier."""
    created = RunsTable.c.create_timestamp
    earlier = datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(seconds=61)
    with queue.storage.connect() as connection:
        chosen = RunsTable.c.run_id.in_(run_ids) if run_ids else created.is_not(None)
        connection.execute(RunsTable.update().where(chosen).values(create_timestamp=earlier))


def said(queue: RunQueue, run_id: str) -> str | None:
    """What a run's tag says; its body and its rows say the same."""
    query = RunTagsTable.select().where(RunTagsTable.c.run_id == run_id, RunTagsTable.c.key == WAITS_FOR_TAG)
    with queue.storage.connect() as connection:
        rows = [str(row["value"]) for row in connection.execute(query).mappings()]
    in_body = queue.run(run_id).tags.get(WAITS_FOR_TAG)
    assert rows == ([] if in_body is None else [in_body])
    return in_body


def pause(queue: RunQueue, until: timedelta | None = None) -> None:
    """Pause code location a."""
    live.pause(queue.instance, A, until)


def test_a_run_that_has_waited_a_minute_says_what_holds_it(run_queue: MakeRunQueue) -> None:
    """A younger one doesn't say anything yet."""
    queue = run_queue(code_location_limits={"default": 1})
    queue.put(A, DagsterRunStatus.STARTED)
    old, young = queue.queue(A, 2)
    wait_a_minute(queue, old)
    queue.tick()
    assert (said(queue, old), said(queue, young)) == ("limit 1 of 1", None)


def test_it_follows_what_holds_the_run(run_queue: MakeRunQueue) -> None:
    """First a limit, then a pause."""
    queue = run_queue(code_location_limits={"default": 1})
    queue.put(A, DagsterRunStatus.STARTED)
    (run,) = queue.queue(A)
    wait_a_minute(queue)
    queue.tick()
    pause(queue)
    queue.tick()
    assert said(queue, run) == "paused"


def test_a_pause_with_an_end_says_it(run_queue: MakeRunQueue) -> None:
    """The day is left out if it is the same one."""
    queue = run_queue()
    pause(queue, timedelta(days=3))
    (run,) = queue.queue(A)
    wait_a_minute(queue)
    queue.tick()
    until = datetime.now(timezone.utc) + timedelta(days=3)
    assert (said(queue, run) or "").startswith(f"paused until {until:%Y-%m-%d} ")


def test_a_run_that_starts_has_lost_it(run_queue: MakeRunQueue) -> None:
    """Before it starts, so that it isn't written while it is in progress."""
    queue = run_queue(code_location_limits={"default": 0})
    (run,) = queue.queue(A)
    wait_a_minute(queue)
    queue.tick()
    assert said(queue, run) == "limit 0 of 0"
    live.set_limit(queue.instance, A, 1)
    assert queue.tick_ids() == [run]
    assert said(queue, run) is None


@pytest.mark.parametrize("ending", ["starts", "is canceled"])
def test_no_row_stays_of_it_where_another_writer_has_lost_it(run_queue: MakeRunQueue, ending: str) -> None:
    """Dagster writes a body as it was read, without a lock."""
    queue = run_queue(code_location_limits={"default": 0})
    (run,) = queue.queue(A)
    body = RunsTable.c.run_body
    with queue.storage.connect() as connection:
        before = connection.execute(db.select(body)).scalar()
    wait_a_minute(queue)
    queue.tick()
    with queue.storage.connect() as connection:
        connection.execute(RunsTable.update().values(run_body=before))
    if ending == "starts":
        live.set_limit(queue.instance, A, 1)
    else:
        queue.instance.report_run_canceled(queue.run(run))
    queue.tick()
    assert said(queue, run) is None


def test_a_canceled_run_loses_it(run_queue: MakeRunQueue) -> None:
    """No run that has ended carries it."""
    queue = run_queue(code_location_limits={"default": 0})
    (run,) = queue.queue(A)
    wait_a_minute(queue)
    queue.tick()
    queue.instance.report_run_canceled(queue.run(run))
    queue.tick()
    assert said(queue, run) is None


@on_one_storage
def test_each_cause_has_its_words(run_queue: MakeRunQueue) -> None:
    """A pool, a tag limit, a job's limit, a group's limit, all slots."""
    queue = run_queue(
        max_concurrent_runs=6,
        tag_concurrency_limits=[{"key": "heavy", "limit": 0}],
        code_location_limits={
            "locations": {A: {"max_per_job": {"jobs": {"nightly": 0}}}},
            "groups": {"team": {"locations": [B], "limit": 1}},
        },
    )
    queue.instance.event_log_storage.set_concurrency_slots("ledger", 0)
    queue.put(B, DagsterRunStatus.STARTED)
    runs = {
        "tag limit heavy": queue.queue(A, tags={"heavy": "yes"})[0],
        "pool ledger": queue.submit(A, pool="ledger").run_id,
        "max_per_job": queue.queue(A, job_name="nightly")[0],
        "group limit 1 of 1": queue.queue(B)[0],
    }
    wait_a_minute(queue)
    queue.tick()
    assert {said(queue, run): run for run in runs.values()} == runs
    queue.put("code-location-c", DagsterRunStatus.STARTED, 5)
    queue.tick()
    assert said(queue, runs["pool ledger"]) == "max_concurrent_runs 6 of 6"


def test_a_users_tag_of_the_same_key_stays(run_queue: MakeRunQueue) -> None:
    """While the run is held and when it starts."""
    queue = run_queue(code_location_limits={"default": 0})
    (run,) = queue.queue(A, tags={WAITS_FOR_TAG: "upstream"})
    (other,) = queue.queue(A)
    wait_a_minute(queue)
    queue.tick()
    assert (said(queue, run), said(queue, other)) == ("upstream", "limit 0 of 0")
    live.set_limit(queue.instance, A, 2)
    queue.tick()
    assert (said(queue, run), said(queue, other)) == ("upstream", None)


def test_a_retry_does_not_take_it_over(run_queue: MakeRunQueue) -> None:
    """Dagster copies the tags of the run that is retried."""
    queue = run_queue()
    (run,) = queue.queue(A, tags={WAITS_FOR_TAG: "limit 1 of 1"})
    assert said(queue, run) is None


def test_turned_off_it_is_removed(same_database: Callable[..., RunQueue]) -> None:
    """A new daemon finds the tags of the one before."""
    queue = same_database(code_location_limits={"default": 0})
    (run,) = queue.queue(A)
    wait_a_minute(queue)
    queue.tick()
    assert said(queue, run) == "limit 0 of 0"
    queue = same_database(code_location_limits={"default": 0, "waits_for_tag": False})
    queue.tick()
    assert said(queue, run) is None


@on_one_storage
def test_only_the_first_and_the_newest_runs_say_it(run_queue: MakeRunQueue) -> None:
    """However many are queued."""
    queue = run_queue(code_location_limits={"default": 0})
    runs = [first := queue.queue(A)[0], *queue.copy(first, 30)]
    wait_a_minute(queue)
    queue.tick()
    tagged = [run for run in runs if said(queue, run)]
    assert tagged == [*runs[: waits_for.FIRST], *runs[-waits_for.NEWEST :]]


@on_one_storage
def test_a_tick_writes_a_bounded_number_of_runs(run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others follow at the next ones."""
    monkeypatch.setattr(waits_for, "WRITTEN_AT_ONCE", 3)
    queue = run_queue(code_location_limits={"default": 0})
    runs = queue.queue(A, 4)
    wait_a_minute(queue)
    counts = []
    for _ in range(2):
        queue.tick()
        counts.append(sum(said(queue, run) is not None for run in runs))
    assert counts == [3, 4]
