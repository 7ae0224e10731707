"""Why a run is queued: what is said to hold it is what holds it at the next ticks."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from clt_queued_run_coordinator._dagster import QUEUE_DAEMON
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.operate.explanation import Explanation, explain
from clt_queued_run_coordinator.operate.stored_run import describe_unqueued, find_runs
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION
from clt_queued_run_coordinator.store import document, live
from clt_queued_run_coordinator.store.tag_writing import write_priority
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.storage.runs.schema import KeyValueStoreTable, RunsTable, RunTagsTable
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo  # type: ignore[attr-defined]
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]
C = "code-location-c"


def beat(instance: DagsterInstance, ago: float = 0.0) -> None:
    """Let the daemon give a sign of life."""
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago, QUEUE_DAEMON, "test", []))


def explained(queue: RunQueue, run_id: str) -> Explanation:
    """What is said of a run while the daemon is alive."""
    beat(queue.instance)
    (stored,) = find_runs(queue.instance, run_id)
    explanation = explain(queue.instance, queue.coordinator, stored)
    assert explanation
    return explanation


def kinds(queue: RunQueue, run_id: str) -> list[str]:
    """The kinds of things that are said to hold a run."""
    return [blocker.kind for blocker in explained(queue, run_id).held_by]


def starts(queue: RunQueue, run_id: str, ticks: int = 2) -> bool:
    """Whether the next ticks start a run."""
    return any(run_id in queue.tick_ids() for _ in range(ticks))


def held_by(queue: RunQueue, run_id: str, *expected: str) -> Explanation:
    """Assert that a run is said to be held by just these, and that it is: the next ticks don't start it."""
    explanation = explained(queue, run_id)
    assert [blocker.kind for blocker in explanation.held_by] == list(expected)
    assert explanation.starts_within_seconds is None
    assert not starts(queue, run_id)
    return explanation


def let_go(queue: RunQueue, run_id: str) -> None:
    """Assert that nothing is said to hold a run, and that the next tick starts it."""
    assert kinds(queue, run_id) == []
    assert starts(queue, run_id, ticks=1)


def test_nothing_holds_a_run_that_starts_at_the_next_tick(run_queue: MakeRunQueue) -> None:
    """With the interval of the ticks."""
    queue = run_queue(dequeue_interval_seconds=7, code_location_limits={"default": 1})
    (run_id,) = queue.queue(A)
    explanation = explained(queue, run_id)
    assert (explanation.starts_within_seconds, explanation.place, explanation.of) == (7, 1, 1)
    let_go(queue, run_id)


def test_a_pause(run_queue: MakeRunQueue) -> None:
    """With who made it, and the command that ends it."""
    queue = run_queue(code_location_limits={})
    (run_id,) = queue.queue(A)
    live.pause(queue.instance, A)
    (blocker,) = held_by(queue, run_id, "pause").held_by
    assert blocker.what.startswith(f"{A} is paused by ")
    assert blocker.cure == f"dagster-clt resume {A}"
    live.resume(queue.instance, A)
    let_go(queue, run_id)


def test_a_limit_with_the_runs_that_use_it_up(run_queue: MakeRunQueue) -> None:
    """The limit that is named lets the run start, together with those before it."""
    queue = run_queue(code_location_limits={"locations": {A: 2}})
    running = queue.queue(A, 2)
    queue.tick()
    *_, run_id = queue.queue(A, 3)
    explanation = held_by(queue, run_id, "limit", "order")
    blocker, order = explanation.held_by
    assert order.what == f"when there is room for a run of {A}, 2 runs go first"
    assert (explanation.place, explanation.of) == (3, 3)
    assert blocker.what == f"the limit of {A} is used up: 2 of 2 in progress (limit from configuration)"
    assert blocker.cure == f"wait for a run to end, or: dagster-clt set-limit {A} 5, with the 2 before it"
    assert {holder.run_id for holder in blocker.holders} == set(running)
    assert {(holder.job, holder.code_location) for holder in blocker.holders} == {("job", A)}
    live.set_limit(queue.instance, A, 5)
    let_go(queue, run_id)


def test_the_runs_that_use_something_up_are_bounded(run_queue: MakeRunQueue) -> None:
    """Five are named, and all are counted."""
    queue = run_queue(code_location_limits={"default": 8})
    queue.queue(A, 8)
    queue.tick()
    (run_id,) = queue.queue(A)
    (blocker,) = held_by(queue, run_id, "limit").held_by
    assert (len(blocker.holders), blocker.held_by) == (5, 8)


def test_a_limit_of_zero(run_queue: MakeRunQueue) -> None:
    """Set live: with who and when."""
    queue = run_queue(code_location_limits={})
    live.set_limit(queue.instance, A, 0)
    (run_id,) = queue.queue(A)
    (blocker,) = held_by(queue, run_id, "limit").held_by
    assert blocker.what.startswith(f"the limit of {A} is 0, so nothing starts (limit set live by ")
    assert blocker.cure == f"dagster-clt set-limit {A} 1"
    live.set_limit(queue.instance, A, 1)
    let_go(queue, run_id)


def test_a_tag_limit_on_the_code_location_itself(run_queue: MakeRunQueue) -> None:
    """The smaller of two limits holds, and a live one would not help."""
    queue = run_queue(
        tag_concurrency_limits=[{"key": "code_location", "value": A, "limit": 0}],
        code_location_limits={"default": 3},
    )
    (run_id,) = queue.queue(A)
    (blocker,) = held_by(queue, run_id, "limit").held_by
    assert blocker.cure == f"raise the limit of {A} in tag_concurrency_limits to 1"


def test_the_total(run_queue: MakeRunQueue) -> None:
    """With who has how much of it."""
    queue = run_queue(max_concurrent_runs=2, code_location_limits={})
    queue.queue(B, 2)
    queue.tick()
    (run_id,) = queue.queue(A)
    (blocker,) = held_by(queue, run_id, "max_concurrent_runs").held_by
    assert blocker.what == f"max_concurrent_runs is used up: 2 of 2 in progress ({B} 2)"
    queue.end(B)
    let_go(queue, run_id)


@pytest.mark.parametrize(
    ("limit", "what"),
    [
        ({"key": "database", "limit": 1}, "database is used up: 1 of 1 in progress"),
        ({"key": "database", "value": "big", "limit": 1}, "database: big is used up: 1 of 1 in progress"),
        (
            {"key": "database", "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
            "database: big is used up: 1 of 1 in progress for each value",
        ),
    ],
)
@on_one_storage
def test_a_tag_limit(run_queue: MakeRunQueue, limit: dict[str, Any], what: str) -> None:
    """Each form of them, with the run that uses it up."""
    queue = run_queue(tag_concurrency_limits=[limit], code_location_limits={"default": 5})
    (running,) = queue.queue(B, tags={"database": "big"})
    queue.tick()
    (run_id,) = queue.queue(A, tags={"database": "big"})
    (other,) = queue.queue(A, tags={"unlimited": "big"})
    let_go(queue, other)
    (blocker,) = held_by(queue, run_id, "tag_limit").held_by
    assert blocker.what == f"the tag limit on {what}"
    assert [holder.run_id for holder in blocker.holders] == [running]
    queue.end(B)
    let_go(queue, run_id)


def test_a_pool(run_queue: MakeRunQueue) -> None:
    """Only the full one of those that it needs, with the run that uses it up."""
    queue = run_queue({"pools": {"granularity": "run"}}, code_location_limits={"default": 5})
    queue.instance.event_log_storage.set_concurrency_slots("database", 1)
    (running,) = queue.queue(B, pool="database")
    queue.tick()
    (run_id,) = queue.queue(A, pool="database")
    (blocker,) = held_by(queue, run_id, "pool").held_by
    assert blocker.what == "the pool database is full: 1 slot"
    assert [holder.run_id for holder in blocker.holders] == [running]
    queue.end(B)
    let_go(queue, run_id)


def test_a_pool_whose_slot_is_held_by_a_run_that_is_gone(run_queue: MakeRunQueue) -> None:
    """Its step is named, and where to free the slot."""
    queue = run_queue({"pools": {"granularity": "op"}}, code_location_limits={"default": 5})
    events = queue.instance.event_log_storage
    events.set_concurrency_slots("database", 1)
    (gone,) = queue.put(B, DagsterRunStatus.CANCELED)
    events.claim_concurrency_slot("database", gone, "query")
    (run_id,) = queue.queue(A, pool="database")
    (blocker,) = held_by(queue, run_id, "pool").held_by
    assert [(holder.run_id, holder.step, holder.job) for holder in blocker.holders] == [(gone, "query", None)]
    assert gone in blocker.cure
    events.free_concurrency_slots_for_run(gone)
    let_go(queue, run_id)


def test_runs_that_go_first(run_queue: MakeRunQueue) -> None:
    """They take the room that there is."""
    queue = run_queue(code_location_limits={"default": 2})
    queue.queue(A, 2)
    (run_id,) = queue.queue(A)
    (first,) = queue.queue(A, priority=1)
    explanation = explained(queue, run_id)
    (blocker,) = explanation.held_by
    assert (blocker.kind, explanation.place) == ("order", 4)
    assert blocker.what == f"2 slots free for {A}, 3 runs go first (limit 2 from default)"
    assert kinds(queue, first) == []
    held_by(queue, run_id, "order")
    queue.end(A, 2)
    assert starts(queue, run_id)


def test_others_whose_turn_it_is(run_queue: MakeRunQueue) -> None:
    """By age where sharing is fifo."""
    queue = run_queue(max_concurrent_runs=1, code_location_limits={"default": 2})
    (older,) = queue.queue(B)
    (run_id,) = queue.queue(A)
    (blocker,) = explained(queue, run_id).held_by
    assert blocker.what == (f"1 slot free in all, and older runs or ones with a larger priority go first ({B} 1)")
    assert kinds(queue, older) == []
    held_by(queue, run_id, "order")
    queue.end(B)
    let_go(queue, run_id)


def test_others_that_are_below_their_share(run_queue: MakeRunQueue) -> None:
    """With its own share."""
    queue = run_queue(max_concurrent_runs=2, code_location_limits={"default": 2, "sharing": "fair"})
    queue.queue(A, 1)
    queue.tick()
    (run_id,) = queue.queue(A)
    queue.queue(B, 2)
    explanation = explained(queue, run_id)
    (blocker,) = explanation.held_by
    assert (blocker.kind, explanation.share) == ("share", 1)
    assert blocker.what == (
        f"1 slot free in all, and it is the turn of other code locations: {A} has 1 in progress of its share of"
        f" 1.0; next are {B} 1"
    )
    held_by(queue, run_id, "share")


def test_a_tag_limit_that_runs_before_it_use_up(run_queue: MakeRunQueue) -> None:
    """At the same tick."""
    queue = run_queue(
        tag_concurrency_limits=[{"key": "database", "limit": 1}], code_location_limits={"default": 5}
    )
    (first, run_id) = queue.queue(A, 2, tags={"database": "yes"})
    (blocker,) = explained(queue, run_id).held_by
    assert blocker.what == ("the tag limit on database is used up: 0 of 1 in progress, and runs with it go first")
    assert starts(queue, first, ticks=1)
    held_by(queue, run_id, "tag_limit")


def test_several_at_once(run_queue: MakeRunQueue) -> None:
    """Each is named, and when all are gone it starts."""
    queue = run_queue(
        max_concurrent_runs=1,
        tag_concurrency_limits=[{"key": "database", "limit": 1}],
        code_location_limits={"default": 1},
    )
    queue.queue(A, tags={"database": "yes"})
    queue.tick()
    (run_id,) = queue.queue(A, tags={"database": "yes"})
    live.pause(queue.instance, EVERY_CODE_LOCATION)
    held_by(queue, run_id, "pause", "limit", "max_concurrent_runs", "tag_limit")
    live.resume(queue.instance, EVERY_CODE_LOCATION)
    held_by(queue, run_id, "limit", "max_concurrent_runs", "tag_limit")
    queue.end(A)
    let_go(queue, run_id)


def test_a_group(run_queue: MakeRunQueue) -> None:
    """Its limit, used up by another code location of it."""
    queue = run_queue(code_location_limits={"groups": {"team": {"locations": [A, B], "limit": 1}}})
    queue.queue(B)
    queue.tick()
    (run_id,) = queue.queue(A)
    (blocker,) = held_by(queue, run_id, "group_limit").held_by
    assert blocker.what == "the limit of group team is used up: 1 of 1 in progress"
    queue.end(B)
    let_go(queue, run_id)


@on_one_storage
@pytest.mark.parametrize(
    ("locations", "whose"), [([A, C], A), ([A], "group team")], ids=["within the group", "between groups"]
)
def test_with_fair_sharing_a_weight_lets_a_run_go_before_those_of_others(
    run_queue: MakeRunQueue, locations: list[str], whose: str
) -> None:
    """A priority would not, so it isn't advised: the weight of whoever has to wait for its turn is."""
    queue = run_queue(
        max_concurrent_runs=1,
        code_location_limits={"groups": {"team": {"locations": locations, "limit": 1}}, "sharing": "fair"},
    )
    queue.queue(C)
    (run_id,) = queue.queue(A)
    (blocker,) = explained(queue, run_id).held_by
    assert blocker.kind == "share"
    assert blocker.cure == f"wait for its turn; a larger weight of {whose} makes its share larger"
    write_priority(queue.instance, [run_id], 9)
    held_by(queue, run_id, "share")


@on_one_storage
def test_with_fair_sharing_a_priority_lets_a_run_go_before_those_of_its_own(run_queue: MakeRunQueue) -> None:
    """A weight would not."""
    queue = run_queue(max_concurrent_runs=1, code_location_limits={"sharing": "fair"})
    queue.queue(A)
    (run_id,) = queue.queue(A)
    (blocker,) = explained(queue, run_id).held_by
    assert blocker.cure == f"wait for its turn, or raise its priority: dagster-clt prioritize {run_id} N"
    write_priority(queue.instance, [run_id], 9)
    let_go(queue, run_id)


@on_one_storage
def test_what_is_full_is_named_once_with_its_own_number(run_queue: MakeRunQueue) -> None:
    """That others take its next room is said of it, and how to go before them."""
    queue = run_queue(
        {"pools": {"granularity": "run"}},
        tag_concurrency_limits=[{"key": "database", "limit": 1}],
        code_location_limits={"locations": {A: {"limit": 9, "max_per_job": 1}}},
    )
    queue.instance.event_log_storage.set_concurrency_slots("slots", 1)
    for _ in range(2):
        queue.queue(A, tags={"database": "yes"}, pool="slots")
    queue.tick()
    (run_id,) = queue.queue(A, tags={"database": "yes"}, pool="slots")
    explanation = explained(queue, run_id)
    assert [(blocker.kind, blocker.what) for blocker in explanation.held_by] == [
        ("max_per_job", "max_per_job of job job is used up: 1 of 1 in progress"),
        ("tag_limit", "the tag limit on database is used up: 1 of 1 in progress"),
        ("pool", "the pool slots is full: 1 slot"),
        ("order", "when max_per_job of job job has room, other runs go first"),
        ("order", "when the tag limit on database has room, other runs go first"),
        ("order", "when the pool slots has room, other runs go first"),
    ]
    assert {blocker.cure.partition(":")[0] for blocker in explanation.held_by[3:]} == {
        "wait for its turn, or raise its priority"
    }
    write_priority(queue.instance, [run_id], 9)
    queue.end(A)
    let_go(queue, run_id)


@on_one_storage
def test_the_limit_of_its_job_or_backfill(run_queue: MakeRunQueue) -> None:
    """Used up by runs in progress, or by those that go first."""
    limits = {"limit": 9, "max_per_job": 3, "max_per_backfill": 1}
    queue = run_queue(code_location_limits={"locations": {A: limits}})
    backfill = {"dagster/backfill": "bf"}
    queue.queue(A, tags=backfill)
    queue.tick()
    (second,) = queue.queue(A, tags=backfill)
    (blocker,) = held_by(queue, second, "max_per_backfill").held_by
    assert blocker.what == "max_per_backfill of backfill bf is used up: 1 of 1 in progress"
    queue.queue(A, 2)
    (last,) = queue.queue(A)
    (blocker,) = explained(queue, last).held_by
    assert blocker.what == "max_per_job of job job is used up: 1 of 3 in progress, 2 runs of it go first"
    held_by(queue, last, "max_per_job")
    held_by(queue, second, "max_per_job", "max_per_backfill")


@on_one_storage
def test_an_empty_id_of_a_backfill(run_queue: MakeRunQueue) -> None:
    """What the admission takes for a backfill holds the run."""
    queue = run_queue(code_location_limits={"locations": {A: {"limit": 9, "max_per_backfill": 1}}})
    queue.queue(A, tags={"dagster/backfill": ""})
    queue.tick()
    (second,) = queue.queue(A, tags={"dagster/backfill": ""})
    (blocker,) = held_by(queue, second, "max_per_backfill").held_by
    assert blocker.what == "max_per_backfill of backfill '' is used up: 1 of 1 in progress"


@on_one_storage
def test_an_open_breaker_and_what_ends_by_itself(run_queue: MakeRunQueue) -> None:
    """With the reason and the end."""
    queue = run_queue(code_location_limits={})
    (run_id,) = queue.queue(A)
    until = datetime.now(timezone.utc) + timedelta(hours=1)
    live.pause(queue.instance, A, until=until, reason="maintenance")
    (blocker,) = held_by(queue, run_id, "pause").held_by
    assert blocker.what.endswith(f" until {until:%Y-%m-%d %H:%M} UTC: maintenance")
    assert blocker.cure == f"dagster-clt resume {A}, or wait until {until:%Y-%m-%d %H:%M} UTC"
    live.resume(queue.instance, A)
    let_go(queue, run_id)


@on_one_storage
def test_the_daemon_that_is_not_heard_of(run_queue: MakeRunQueue) -> None:
    """Never, and for long."""
    queue = run_queue(code_location_limits={})
    (run_id,) = queue.queue(A)
    (stored,) = find_runs(queue.instance, run_id)

    def what() -> str:
        explanation = explain(queue.instance, queue.coordinator, stored)
        assert explanation
        (blocker,) = explanation.held_by
        assert blocker.kind == "daemon"
        return blocker.what

    assert what() == "the daemon is not reading the run queue: it was never seen"
    beat(queue.instance, ago=185)
    assert what() == "the daemon is not reading the run queue: it was last seen 3m 5s ago"
    let_go(queue, run_id)


def test_a_code_server_that_does_not_answer(run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """From what the daemon leaves in the event logs: that of the run, and that of the first one in front of it."""
    queue = run_queue(
        max_user_code_failure_retries=2, user_code_failure_retry_delay=3600, code_location_limits={"default": 5}
    )
    first, second = queue.queue(A, 2)

    def launch(_context: object) -> None:
        raise DagsterUserCodeUnreachableError("down")

    with monkeypatch.context() as patched:
        patched.setattr(queue.launcher, "launch_run", launch)
        assert queue.tick_ids() == []
    (blocker,) = held_by(queue, first, "code_server").held_by
    assert "with this run (1 of 2 retries used); it is tried again in " in blocker.what
    assert kinds(queue, second) == ["code_server"]
    queue.daemon._location_timeouts.clear()
    assert any(first in queue.tick_ids() for _ in range(3))


def test_nothing_is_written(run_queue: MakeRunQueue) -> None:
    """Not even the default slots of a pool that has none yet, which a tick gives it."""
    pools = {"granularity": "run", "default_limit": 1}
    queue = run_queue({"pools": pools}, max_concurrent_runs=2, code_location_limits={"sharing": "fair"})
    queue.queue(B)
    queue.tick()
    run_ids = queue.put(A, DagsterRunStatus.QUEUED, 2) + queue.queue(A, 2, pool="new")
    beat(queue.instance)

    def everything() -> object:
        tables = [RunsTable, RunTagsTable, KeyValueStoreTable]
        with queue.storage.connect() as connection:
            rows = [connection.execute(table.select()).all() for table in tables]
        return rows, queue.instance.event_log_storage.get_concurrency_keys()

    before = everything()
    for run_id in run_ids:
        (stored,) = find_runs(queue.instance, run_id)
        explain(queue.instance, queue.coordinator, stored)
    assert everything() == before


@on_one_storage
def test_a_run_that_is_not_queued(run_queue: MakeRunQueue) -> None:
    """It is said to be what it is."""
    queue = run_queue(code_location_limits={})
    now = datetime.now(timezone.utc)

    def what(status: DagsterRunStatus) -> str:
        (run_id,) = queue.put(A, status)
        (stored,) = find_runs(queue.instance, run_id)
        return describe_unqueued(stored, now).removeprefix(f"Run {run_id} is not queued: ")

    assert what(DagsterRunStatus.NOT_STARTED) == "it was created but never submitted"
    assert what(DagsterRunStatus.STARTED).startswith("it is in progress (STARTED)")
    assert what(DagsterRunStatus.SUCCESS).startswith("it has succeeded")
    assert what(DagsterRunStatus.CANCELED).startswith("it was canceled")


def test_a_breaker_that_lets_manual_launches_pass(run_queue: MakeRunQueue) -> None:
    """It holds the others alone."""
    queue = run_queue(code_location_limits={"default": {"breaker": {"failures": 1, "manual_launches": True}}})
    queue.queue(A)
    (failed,) = queue.tick_ids()
    queue.instance.report_run_failed(queue.run(failed))
    queue.tick()
    (scheduled,) = queue.queue(A, tags={"dagster/schedule_name": "hourly"})
    (manual,) = queue.queue(A)
    assert kinds(queue, scheduled) == ["breaker"]
    let_go(queue, manual)
    held_by(queue, scheduled, "breaker")


def advised(queue: RunQueue, run_id: str, kind: str = "limit") -> str:
    """What is said to let a run start."""
    (blocker,) = (blocker for blocker in explained(queue, run_id).held_by if blocker.kind == kind)
    return blocker.cure


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"max_concurrent_runs": 1}, "max_concurrent_runs"),
        ({"code_location_limits": {"groups": {"team": {"locations": [A, B], "limit": 1}}}}, "group_limit"),
    ],
    ids=["total", "group"],
)
@on_one_storage
def test_when_all_that_is_named_is_gone_the_run_starts(
    run_queue: MakeRunQueue, options: dict[str, Any], kind: str
) -> None:
    """Older runs of others that wait for the same thing are named too."""
    queue = run_queue(**options)
    queue.queue(B)
    queue.tick()
    queue.queue(B)
    (run_id,) = queue.queue(A)
    held_by(queue, run_id, kind, "order")
    queue.end(B)
    assert kinds(queue, run_id) == ["order"]
    queue.tick()
    assert kinds(queue, run_id) == [kind]
    queue.end(B)
    let_go(queue, run_id)


@on_one_storage
def test_a_pool_that_an_older_run_waits_for_as_well(run_queue: MakeRunQueue) -> None:
    """The slot that ends would be its."""
    queue = run_queue({"pools": {"granularity": "run"}}, code_location_limits={})
    queue.instance.event_log_storage.set_concurrency_slots("database", 1)
    queue.queue(B, pool="database")
    queue.tick()
    queue.queue(B, pool="database")
    (run_id,) = queue.queue(A, pool="database")
    explanation = held_by(queue, run_id, "pool", "order")
    assert [blocker.what for blocker in explanation.held_by] == [
        "the pool database is full: 1 slot",
        "when the pool database has room, other runs go first",
    ]


@on_one_storage
def test_the_limit_that_is_advised_is_the_smallest_that_lets_the_run_start(run_queue: MakeRunQueue) -> None:
    """Runs ahead of it that something else holds don't count."""
    queue = run_queue(
        tag_concurrency_limits=[{"key": "database", "limit": 1}], code_location_limits={"locations": {A: 3}}
    )
    queue.queue(A, 3)
    queue.queue(B, tags={"database": "yes"})
    queue.tick()
    queue.queue(A, 20, tags={"database": "yes"})
    (run_id,) = queue.queue(A)
    assert advised(queue, run_id) == f"wait for a run to end, or: dagster-clt set-limit {A} 4"
    live.set_limit(queue.instance, A, 4)
    let_go(queue, run_id)


@on_one_storage
def test_a_limit_that_is_raised_in_vain_is_not_advised(run_queue: MakeRunQueue) -> None:
    """With no slot for those before it."""
    queue = run_queue(max_concurrent_runs=2, code_location_limits={"locations": {A: 2}})
    queue.queue(A, 2)
    queue.tick()
    queue.queue(A)
    (run_id,) = queue.queue(A)
    assert advised(queue, run_id) == "wait for a run to end"
    held_by(queue, run_id, "limit", "max_concurrent_runs", "order")


@on_one_storage
def test_more_runs_in_progress_than_a_limit_allows(run_queue: MakeRunQueue) -> None:
    """As many have to end."""
    queue = run_queue(code_location_limits={"locations": {A: 4}})
    queue.queue(A, 4)
    queue.tick()
    live.set_limit(queue.instance, A, 2)
    (run_id,) = queue.queue(A)
    assert advised(queue, run_id).startswith("wait for 3 runs to end, or: ")


@pytest.mark.parametrize(
    ("options", "kind", "cure"),
    [
        ({"code_location_limits": {"locations": {A: 0}}}, "limit", f"dagster-clt set-limit {A} 1"),
        ({"code_location_limits": {"default": 0}}, "limit", f"dagster-clt set-limit {A} 1"),
        (
            {"tag_concurrency_limits": [{"key": "code_location", "value": A, "limit": 0}]},
            "limit",
            f"raise the limit of {A} in tag_concurrency_limits to 1",
        ),
        (
            {"tag_concurrency_limits": [{"key": "dagster/code_location", "value": A, "limit": 0}]},
            "limit",
            f"raise the limit of {A} in tag_concurrency_limits to 1",
        ),
        (
            {"code_location_limits": {"groups": {"team": {"locations": [A], "limit": 0}}}},
            "group_limit",
            "raise the group's limit",
        ),
        ({"max_concurrent_runs": 0}, "max_concurrent_runs", "raise max_concurrent_runs"),
        (
            {"code_location_limits": {"locations": {A: {"max_per_job": 0}}}},
            "max_per_job",
            "raise max_per_job",
        ),
        (
            {"code_location_limits": {"locations": {A: {"max_per_backfill": 0}}}},
            "max_per_backfill",
            "raise max_per_backfill",
        ),
        (
            {"tag_concurrency_limits": [{"key": "database", "limit": 0}]},
            "tag_limit",
            "raise the limit of database in tag_concurrency_limits",
        ),
    ],
)
@on_one_storage
def test_nobody_is_told_to_wait_for_a_run_where_a_limit_is_0(
    run_queue: MakeRunQueue, options: dict[str, Any], kind: str, cure: str
) -> None:
    """No end of a run would help."""
    queue = run_queue(**options)
    (run_id,) = queue.queue(A, tags={"database": "yes", "dagster/backfill": "bf"})
    (blocker,) = held_by(queue, run_id, kind).held_by
    assert (blocker.cure, blocker.holders) == (cure, [])
    assert " is 0, so nothing starts" in blocker.what


@on_one_storage
def test_a_pool_without_slots(run_queue: MakeRunQueue) -> None:
    """It has to be given some."""
    queue = run_queue(code_location_limits={})
    queue.instance.event_log_storage.set_concurrency_slots("database", 0)
    (run_id,) = queue.queue(A, pool="database")
    (blocker,) = held_by(queue, run_id, "pool").held_by
    assert blocker.cure == "give it slots: dagster instance concurrency set database N"


@pytest.mark.parametrize("granularity", ["run", "op"])
@on_one_storage
def test_a_pool_that_was_never_used(run_queue: MakeRunQueue, granularity: str) -> None:
    """It has the default number of slots once a tick looks at it."""
    pools = {"granularity": granularity, "default_limit": 1}
    queue = run_queue({"pools": pools}, code_location_limits={})
    first, second = queue.queue(A, 2, pool="new")
    (blocker,) = explained(queue, second).held_by
    assert blocker.what == "the pool new is full once the runs that go first have started: 1 slot"
    assert kinds(queue, first) == []
    assert queue.tick_ids() == [first]
    held_by(queue, second, "pool")


@on_one_storage
def test_a_pool_that_was_never_used_without_a_default(run_queue: MakeRunQueue) -> None:
    """It holds nothing; nor does a default of 0, which Dagster takes for none."""
    for default in ({}, {"default_limit": 0}):
        queue = run_queue({"pools": {"granularity": "run", **default}}, code_location_limits={})
        (run_id,) = queue.queue(A, pool="new")
        let_go(queue, run_id)


def store_last_tick(queue: RunQueue, ago: float) -> None:
    """Let the daemon have read the queue some seconds ago."""
    with queue.storage.connect() as connection:
        daemon_state.write(connection, daemon_state.DaemonState(at=time.time() - ago, reading_seconds=0.1))


def fail(queue: RunQueue, ago: float = 0.0) -> None:
    """Let the daemon send a heartbeat with an error, as it does for five minutes after it."""
    errors = [SerializableErrorInfo("the database is gone", [], "OperationalError")]
    queue.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago, QUEUE_DAEMON, "test", errors))


def said(queue: RunQueue, run_id: str) -> list[str]:
    """The kinds of things that are said to hold a run, with the daemon's heartbeats as they are."""
    (stored,) = find_runs(queue.instance, run_id)
    explanation = explain(queue.instance, queue.coordinator, stored)
    assert explanation
    return [blocker.kind for blocker in explanation.held_by]


@on_one_storage
def test_ticks_that_work_again(run_queue: MakeRunQueue) -> None:
    """An error from before the last reading of the queue is over, however long the heartbeats tell it."""
    queue = run_queue(code_location_limits={})
    (run_id,) = queue.queue(A)
    fail(queue)
    assert said(queue, run_id) == ["daemon_error"]
    store_last_tick(queue, ago=60)
    assert said(queue, run_id) == ["daemon_error"]
    store_last_tick(queue, ago=5)
    assert said(queue, run_id) == []


@on_one_storage
def test_a_launch_that_takes_long(run_queue: MakeRunQueue) -> None:
    """The tick and its launch are named, and nobody is told to start another daemon."""
    queue = run_queue(code_location_limits={})
    store_last_tick(queue, ago=100)
    (launching,) = queue.put(B, DagsterRunStatus.STARTING)
    (run_id,) = queue.queue(A)
    fail(queue, ago=95)
    queue.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SENSOR", "test", []))
    (stored,) = find_runs(queue.instance, run_id)
    explanation = explain(queue.instance, queue.coordinator, stored)
    assert explanation
    (blocker,) = explanation.held_by
    assert blocker.kind == "tick"
    assert blocker.what.startswith("the daemon's tick of 1m 4")
    assert blocker.what.endswith("is still under way: it is launching 1 run")
    assert [holder.run_id for holder in blocker.holders] == [launching]
    assert "don't start a second dagster-daemon" in blocker.cure
    assert explanation.starts_within_seconds is None


@on_one_storage
def test_another_process_is_no_sign_of_this_daemon(run_queue: MakeRunQueue) -> None:
    """Sensors may have a daemon of their own."""
    queue = run_queue(code_location_limits={})
    (run_id,) = queue.queue(A)
    beat(queue.instance, ago=185)
    queue.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SENSOR", "another", []))
    assert said(queue, run_id) == ["daemon"]


@on_one_storage
def test_a_pause_of_a_code_location_that_is_at_its_limit(run_queue: MakeRunQueue) -> None:
    """Both are named, and the limit beside the pause is tried without it."""
    queue = run_queue(code_location_limits={"locations": {A: 1}})
    queue.queue(A)
    queue.tick()
    live.pause(queue.instance, A)
    (run_id,) = queue.queue(A)
    held_by(queue, run_id, "pause", "limit")
    assert advised(queue, run_id) == f"wait for a run to end, or: dagster-clt set-limit {A} 2"


@on_one_storage
def test_a_name_that_a_shell_would_take_apart(run_queue: MakeRunQueue) -> None:
    """It is quoted, and one that looks like an option is no option."""
    queue = run_queue(code_location_limits={"default": 0})
    for name, argument in (("a b; rm -rf $HOME", "'a b; rm -rf $HOME'"), ("-x", "-- -x")):
        (run_id,) = queue.queue(name)
        assert advised(queue, run_id) == f"dagster-clt set-limit {argument} 1"


@on_one_storage
def test_a_run_that_leaves_the_queue_while_it_is_looked_at(run_queue: MakeRunQueue) -> None:
    """There is nothing to explain any more."""
    queue = run_queue(code_location_limits={})
    (run_id,) = queue.queue(A)
    (stored,) = find_runs(queue.instance, run_id)
    queue.instance.report_run_canceled(queue.run(run_id))
    assert explain(queue.instance, queue.coordinator, stored) is None


@on_one_storage
def test_credit_is_brought_forward_to_now(run_queue: MakeRunQueue) -> None:
    """The daemon stores it only now and then."""
    queue = run_queue(max_concurrent_runs=2, code_location_limits={"sharing": "fair"})
    queue.queue(A, 2)
    queue.tick()
    (run_id,) = queue.queue(B)
    queue.tick()
    with queue.storage.connect() as connection:
        stored = daemon_state.read(connection)
        earlier = replace(stored.credit, at=stored.credit.at - 300)
        daemon_state.write(connection, replace(stored, credit=earlier))
    explanation = explained(queue, run_id)
    assert explanation.credit_slot_seconds is not None
    assert 250 < explanation.credit_slot_seconds <= 300
    assert explanation.share == 1.0


@on_one_storage
def test_a_daemon_that_is_back_after_a_while(run_queue: MakeRunQueue) -> None:
    """Its last reading is old, but it launches nothing."""
    queue = run_queue(code_location_limits={})
    store_last_tick(queue, ago=3600)
    (run_id,) = queue.queue(A)
    (blocker,) = explained(queue, run_id).held_by
    assert blocker.kind == "tick"
    assert blocker.what.startswith("the daemon runs, but none of its ticks has read the queue for 1h")
    queue.tick()
    assert explained(queue, *queue.queue(A)).held_by == []


@on_one_storage
def test_a_launch_that_has_just_begun_to_take_long(run_queue: MakeRunQueue) -> None:
    """The daemon has stored what it launches, so it is known before its heartbeats stop."""
    queue = run_queue(dequeue_interval_seconds=1, code_location_limits={})
    store_last_tick(queue, ago=3)
    launching, other = queue.put(B, DagsterRunStatus.STARTING, 2)
    (run_id,) = queue.queue(A)

    def launch(began: float, *runs: str) -> None:
        handed_over = {"began": time.time() - began, "runs": len(runs), "first": runs}
        tick = {"at": time.time() - 3, "reading_seconds": 0.1}
        document.write(queue.instance, daemon_state.KEY, {**tick, "launching": handed_over})

    launch(3.2, launching)
    (blocker,) = explained(queue, run_id).held_by
    assert blocker.what == "the daemon's tick of 3s ago is still under way: it is launching 1 run"
    assert [holder.run_id for holder in blocker.holders] == [launching]
    queue.instance.report_run_canceled(queue.run(launching))
    assert kinds(queue, run_id) == []
    launch(0.1, other)
    assert kinds(queue, run_id) == []


@on_one_storage
def test_a_window_that_lets_nothing_start(run_queue: MakeRunQueue) -> None:
    """Its end may be waited for."""
    always = {"cron": "* * * * *", "for": "1h", "limit": 0}
    queue = run_queue(code_location_limits={"locations": {A: {"limit": 3, "windows": [always]}}})
    (run_id,) = queue.queue(A)
    cure = advised(queue, run_id)
    assert cure.endswith(f"dagster-clt set-limit {A} 1")
    assert "for a run to end" not in cure
    live.set_limit(queue.instance, A, 0, until=datetime.now(timezone.utc) + timedelta(hours=1))
    assert advised(queue, run_id).startswith("wait until ")
