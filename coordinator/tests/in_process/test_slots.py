"""Limits in slots: what a run takes, who may say so, and that it is the same for all who count."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from clt_queued_run_coordinator.config.tag import RESOURCES_TAGS, SLOTS_TAG, TAKES_SLOTS_TAG
from clt_queued_run_coordinator.daemon import tick
from clt_queued_run_coordinator.operate import now
from clt_queued_run_coordinator.operate.explanation import explain
from clt_queued_run_coordinator.operate.status import status
from clt_queued_run_coordinator.operate.stored_run import find_runs
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.submit.size import RunTooLargeError
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunTagsTable
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]

SLOT = {"cpu": 1, "memory": "4Gi"}


def asks_for(kind: str = "requests", **resources: Any) -> dict[str, str]:
    """The tag by which a run asks Kubernetes for resources."""
    return {RESOURCES_TAGS[0]: json.dumps({"container_config": {"resources": {kind: resources}}})}


def slots(number: int) -> dict[str, str]:
    """The tag by which a run asks for so many slots."""
    return {SLOTS_TAG: str(number)}


def make_slots(run_queue: MakeRunQueue, total: int = -1, **limits: Any) -> RunQueue:
    """A queue whose limits count slots."""
    return run_queue(max_concurrent_runs=total, code_location_limits={"slot": SLOT, **limits})


def takes(queue: RunQueue, run_id: str) -> str | None:
    """What the tag of a run says."""
    return queue.run(run_id).tags.get(TAKES_SLOTS_TAG)


def test_limits_count_what_runs_ask_for(run_queue: MakeRunQueue) -> None:
    """500m and 15Gi are 4 slots. The limits of a code location, of its group and of all runs hold."""
    queue = make_slots(run_queue, total=13, default=8, groups={"team": {"locations": [A], "limit": 9}})
    queue.queue(A, 3, tags=asks_for(cpu="500m", memory="15Gi"))
    queue.queue(B, 3, tags=slots(3))
    assert queue.tick() == {A: 2, B: 1}
    assert queue.tick() == {}
    queue.end(A)
    assert queue.tick() == {A: 1}
    queue.end(A)
    queue.end(A)
    assert queue.tick() == {B: 1}


def test_nothing_starts_while_few_runs_hold_all_slots(run_queue: MakeRunQueue) -> None:
    """Then Dagster's daemon, which counts runs, goes on to read the queue."""
    queue = make_slots(run_queue, total=4)
    queue.queue(A, tags=slots(4))
    queue.queue(B, 3)
    assert queue.tick() == {A: 1}
    assert queue.tick() == {}
    queue.end(A)
    assert queue.tick() == {B: 3}


def test_a_run_asks_by_its_tag_by_its_requests_or_as_its_code_location_does(run_queue: MakeRunQueue) -> None:
    """The larger of its tag and its resources counts; the tag that a submit writes tells it."""
    queue = make_slots(run_queue, locations={B: {"run_needs": {"memory": "6Gi", "cpu": "100m"}}})
    for name, tags, expected in (
        (A, {}, "1"),
        (A, slots(3), "3"),
        (A, asks_for(memory="15Gi"), "4"),
        (A, asks_for("limits", memory="15Gi"), "4"),
        (A, {**asks_for(memory="15Gi"), **slots(2)}, "4"),
        (A, {**asks_for(memory="15Gi"), **slots(6)}, "6"),
        (B, {}, "2"),
        (B, slots(1), "2"),
        (B, asks_for(cpu=3), "3"),
        (B, asks_for(memory="1Gi"), "1"),
        (B, asks_for("limits", memory="15Gi"), "2"),
    ):
        assert takes(queue, queue.queue(name, tags=tags)[0]) == expected


@on_one_storage
def test_a_run_that_is_executed_again_has_its_own_size(run_queue: MakeRunQueue) -> None:
    """It brings the tags of its parent, whose size may have been counted in other slots."""
    queue = make_slots(run_queue)
    (run_id,) = queue.queue(A, tags={TAKES_SLOTS_TAG: "9", **asks_for(memory="5Gi")})
    assert takes(queue, run_id) == "2"


def test_nobody_makes_a_queued_run_smaller_than_what_it_asks_for(run_queue: MakeRunQueue) -> None:
    """Neither by its rows, which are all that the daemon reads of a long queue, nor by the tags in its body."""
    queue = make_slots(run_queue, default=5)
    by_rows, by_tags, honest = (queue.queue(A, tags=asks_for(memory="15Gi"))[0] for _ in range(3))
    with queue.storage.connect() as connection:
        of_size = RunTagsTable.c.key.in_([TAKES_SLOTS_TAG, *RESOURCES_TAGS])
        connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id == by_rows, of_size))
    queue.instance.add_run_tags(by_tags, {TAKES_SLOTS_TAG: "1", SLOTS_TAG: "1"})
    started = [run_id for _ in range(4) for run_id in queue.tick_ids()]
    assert len(started) == 1
    assert now.read(queue.instance, queue.coordinator.settings).state.in_progress_of[A] == 4
    assert {by_rows, by_tags, honest} > {*started}


def test_runs_that_came_past_the_coordinator_count_by_what_they_ask_for(run_queue: MakeRunQueue) -> None:
    """Such as those that were launched, or queued, before slots counted."""
    queue = make_slots(run_queue, default=6)
    queue.create(A, status=DagsterRunStatus.STARTED, tags=asks_for(memory="15Gi"))
    queue.create(A, status=DagsterRunStatus.QUEUED, tags=asks_for(memory="9Gi"))
    assert queue.tick() == {}
    queue.create(A, status=DagsterRunStatus.QUEUED, tags=asks_for(memory="8Gi"))
    assert queue.tick() == {A: 1}


@pytest.mark.parametrize(
    ("limits", "key"),
    [
        ({"default": 3}, f"code_location_limits.locations.{A}.limit is 3"),
        ({"groups": {"team": {"locations": [A], "limit": 3}}}, "code_location_limits.groups.team.limit is 3"),
        ({"total": 3}, "max_concurrent_runs is 3"),
    ],
)
@on_one_storage
def test_what_never_fits_is_refused_with_the_limit_and_the_cure(
    run_queue: MakeRunQueue, limits: dict[str, Any], key: str
) -> None:
    """And tagged, so that it is found among its code location's runs."""
    queue = make_slots(run_queue, **limits)
    run_id, workspace = queue.create(A, tags=slots(4)).run_id, None
    with pytest.raises(RunTooLargeError, match=f"it takes 4 slots, and {key}.*or raise .* to 4 or more"):
        queue.instance.submit_run(run_id, workspace)  # type: ignore[arg-type]
    assert queue.run(run_id).status is DagsterRunStatus.FAILURE
    assert queue.tag_rows(run_id) == [A]
    assert queue.queue(A, tags=slots(3))


@on_one_storage
def test_what_fits_at_times_is_not_refused(run_queue: MakeRunQueue) -> None:
    """In a window, with a live limit, or when a limit of 0 is raised again."""
    window = {"cron": "0 8 * * *", "for": "1h", "limit": 8}
    queue = make_slots(run_queue, locations={A: {"limit": 2, "windows": [window]}, B: 2, "closed": 0})
    live.set_limit(queue.instance, B, 8)
    for name in (A, B, "closed"):
        assert queue.queue(name, tags=slots(8))


@on_one_storage
def test_a_limit_that_was_lowered_live_holds_what_it_cannot_ever_hold(run_queue: MakeRunQueue) -> None:
    """It keeps nothing for it; the runs behind start, and status and explain say what would let it start."""
    queue = make_slots(run_queue, default={"limit": 8}, hold_back_after="1s")
    (large,) = queue.queue(A, tags=slots(8))
    live.set_limit(queue.instance, A, 3)
    queue.queue(A, 5)
    assert queue.tick() == {A: 3}
    queue.end(A, 3)
    assert queue.tick() == {A: 2}
    reading = now.read(queue.instance, queue.coordinator.settings)
    (line,) = status(reading).code_locations
    assert line.waits_for == "a higher limit"
    explanation = explain(queue.instance, queue.coordinator, find_runs(queue.instance, large)[0])
    assert explanation
    (blocker,) = (of for of in explanation.held_by if of.kind == "limit")
    assert "is 3 slots" in blocker.what
    assert "it takes 8" in blocker.what
    assert blocker.cure == f"dagster-clt set-limit {A} 10"


def test_a_large_run_is_passed_for_a_while_and_then_slots_are_kept_for_it(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It isn't passed by those that came first, and once it has started the small ones go on."""
    queue = make_slots(run_queue, total=6, hold_back_after="5m")
    queue.queue(B, 4)
    assert queue.tick() == {B: 4}
    (large,) = queue.queue(A, tags=slots(5))
    queue.queue(B, 9)
    assert queue.tick() == {B: 2}  # passed for the first time
    queue.end(B)
    assert queue.tick() == {B: 1}
    _pass_time(monkeypatch, 301)
    kept = _restarted(queue)
    for _ in range(4):
        kept.end(B)
        assert kept.tick() == {}
    waiting = kept.instance.get_runs(limit=1)[0].run_id
    explanation = explain(kept.instance, kept.coordinator, find_runs(kept.instance, waiting)[0])
    assert explanation
    assert any(of.kind == "kept" and large in of.what for of in explanation.held_by)
    kept.end(B)
    assert kept.tick_ids()[0] == large
    assert kept.tick() == {}


def test_an_open_breaker_holds_a_large_run_that_was_passed_for_long(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a manually launched run may pass, it neither starts nor keeps slots."""
    breaker = {"failures": 1, "manual_launches": True}
    queue = make_slots(run_queue, total=6, locations={A: {"breaker": breaker}})
    queue.queue(B, 2)
    (fails,) = queue.queue(A)
    assert queue.tick() == {A: 1, B: 2}
    queue.queue(A, tags={**slots(5), "dagster/schedule_name": "hourly"})
    assert queue.tick() == {}  # passed for the first time
    queue.instance.report_run_failed(queue.run(fails))
    _pass_time(monkeypatch, 301)
    queue.queue(A, tags=slots(2))
    queue.queue(B)
    assert queue.tick() == {A: 1, B: 1}
    queue.end(A)
    queue.end(B, 3)
    queue.queue(A)
    assert queue.tick() == {A: 1}


@on_one_storage
def test_slots_are_kept_also_after_the_clock_was_put_back(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database's clock was ahead by a day when the large run was passed."""
    queue = make_slots(run_queue, total=6)
    queue.queue(B, 4)
    assert queue.tick() == {B: 4}
    queue.queue(A, tags=slots(5))
    _pass_time(monkeypatch, 86_400)
    assert queue.tick() == {}
    _pass_time(monkeypatch, -86_400)
    assert queue.tick() == {}
    _pass_time(monkeypatch, 301)
    queue.queue(B)
    assert queue.tick() == {}


def _pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let ticks and commands believe that so much time has passed."""
    own = live.read

    def later(connection: Any) -> Any:
        changes = own(connection)
        return changes.at(changes.read_at + timedelta(seconds=seconds))

    monkeypatch.setattr(live, "read", later)


def _restarted(queue: RunQueue) -> RunQueue:
    """The same queue with a daemon that has just started, and has read what the one before has stored."""
    seam = queue.coordinator._daemon_seam
    ticks = tick.Ticks(queue.coordinator.settings, logging.getLogger("test"))
    seam._ticks = ticks
    return queue


@on_one_storage
def test_wrong_quantities_take_one_slot_and_are_told_once(
    run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is in the tags, the run is queued."""
    queue = make_slots(run_queue)
    with caplog.at_level(logging.WARNING, "dagster.run_coordinator"):
        for tags in (
            asks_for(memory="15GiB"),
            asks_for(memory="15GiB"),
            {SLOTS_TAG: "-3"},
            {RESOURCES_TAGS[0]: "["},
        ):
            assert takes(queue, queue.queue(A, tags=tags)[0]) == "1"
    told = [record.message for record in caplog.records if "correct the tag" in record.message]
    assert ["requests.memory" in told[0], "slots" in told[1], "no JSON object" in told[2]] == [True] * len(told)


@on_one_storage
def test_status_tells_slots_and_runs(run_queue: MakeRunQueue) -> None:
    """Those of code locations, of groups and of all."""
    queue = make_slots(run_queue, total=20, default=10, groups={"team": {"locations": [A]}})
    queue.queue(A, 3, tags=slots(4))
    assert queue.tick() == {A: 2}
    found = status(now.read(queue.instance, queue.coordinator.settings))
    (line,), (group,) = found.code_locations, found.groups
    assert (line.in_progress, line.in_progress_slots, line.queued, line.queued_slots) == (2, 8, 1, 4)
    assert (group.in_progress, group.in_progress_slots, group.queued, group.queued_slots) == (2, 8, 1, 4)
    assert (found.in_progress, found.in_progress_slots, line.waits_for) == (2, 8, "its limit")


@on_one_storage
def test_without_slots_no_tag_counts(run_queue: MakeRunQueue) -> None:
    """Nor is any written."""
    queue = run_queue(code_location_limits={"default": 2})
    (first, *_) = queue.queue(A, 3, tags={**slots(9), **asks_for(memory="64Gi")})
    assert queue.tick() == {A: 2}
    assert takes(queue, first) is None
    (line,) = status(now.read(queue.instance, queue.coordinator.settings)).code_locations
    assert (line.in_progress, line.in_progress_slots) == (2, None)
