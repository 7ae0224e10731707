"""Limits, as real ticks of the daemon apply them."""

from collections.abc import Callable
from typing import Any

import pytest
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.policy.changes import PREFIX
from clt_queued_run_coordinator.store import live
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.storage.runs.schema import RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]
PER_VALUE = {"applyLimitPerUniqueValue": True}


def test_a_limit_on_one_value_holds(run_queue: MakeRunQueue) -> None:
    """Dagster's own limit on one code location's tag holds, and leaves the others alone."""
    queue = run_queue(tag_concurrency_limits=[{"key": CLT_TAG_KEY, "value": A, "limit": 2}])
    queue.queue(A, 4)
    queue.queue(B, 4)
    assert queue.tick() == {A: 2, B: 4}


def test_a_limit_per_unique_value_holds(run_queue: MakeRunQueue) -> None:
    """Dagster's own limit per unique value holds for each code location by itself."""
    queue = run_queue(tag_concurrency_limits=[{"key": CLT_TAG_KEY, "value": PER_VALUE, "limit": 3}])
    queue.queue(A, 4)
    queue.queue(B, 5)
    assert queue.tick() == {A: 3, B: 3}


def test_max_concurrent_runs_holds_beside_the_limits(run_queue: MakeRunQueue) -> None:
    """The total holds where the limits together allow more."""
    queue = run_queue(max_concurrent_runs=5, code_location_limits={"default": 4})
    queue.queue(A, 6)
    queue.queue(B, 6)
    assert queue.tick() == {A: 4, B: 1}


def test_the_default_holds_for_each_code_location(run_queue: MakeRunQueue) -> None:
    """A code location without an entry gets the default, also one that is seen for the first time."""
    queue = run_queue(code_location_limits={"default": 2})
    queue.queue(A, 3)
    assert queue.tick() == {A: 2}
    queue.queue("code-location-new", 3)
    assert queue.tick() == {"code-location-new": 2}


@pytest.mark.parametrize(("entry", "started"), [(1, 1), (4, 4), ({"limit": 3}, 3), ({"weight": 2}, 2), (0, 0)])
def test_an_entry_replaces_the_default(run_queue: MakeRunQueue, entry: Any, started: int) -> None:
    """An entry replaces the default upwards and downwards; one that gives a weight alone keeps it."""
    queue = run_queue(code_location_limits={"default": 2, "locations": {A: entry}})
    queue.queue(A, 5)
    queue.queue(B, 5)
    assert queue.tick() == ({A: started} if started else {}) | {B: 2}


def test_without_a_default_the_others_are_not_limited(run_queue: MakeRunQueue) -> None:
    """Where no default is given only the named code locations are limited."""
    queue = run_queue(code_location_limits={"locations": {A: 1}})
    queue.queue(A, 3)
    queue.queue(B, 6)
    assert queue.tick() == {A: 1, B: 6}


@pytest.mark.parametrize("order", [(3, 1), (1, 3)])
def test_the_smaller_of_two_limits_holds(run_queue: MakeRunQueue, order: tuple[int, int]) -> None:
    """A tag limit beside code_location_limits holds where it is the smaller one, and the other way round."""
    tag_limit, limit = order
    queue = run_queue(
        tag_concurrency_limits=[{"key": CLT_TAG_KEY, "value": A, "limit": tag_limit}],
        code_location_limits={"locations": {A: limit}},
    )
    queue.queue(A, 5)
    assert queue.tick() == {A: 1}


def test_of_two_equal_tag_limits_the_smaller_holds(run_queue: MakeRunQueue) -> None:
    """Dagster would let the last one win."""
    limits = [{"key": CLT_TAG_KEY, "value": A, "limit": limit} for limit in (1, 9)]
    queue = run_queue(tag_concurrency_limits=limits)
    queue.queue(A, 5)
    assert queue.tick() == {A: 1}


def test_other_tag_limits_go_on_working(run_queue: MakeRunQueue) -> None:
    """A limit on another tag holds beside the limits of code locations."""
    queue = run_queue(
        tag_concurrency_limits=[{"key": "team", "value": "red", "limit": 1}], code_location_limits={"default": 3}
    )
    queue.queue(A, 3, tags={"team": "red"})
    queue.queue(B, 3)
    assert queue.tick() == {A: 1, B: 3}


def test_a_higher_priority_starts_first_within_the_limit(run_queue: MakeRunQueue) -> None:
    """Within a code location Dagster's order stays: priority, then age."""
    queue = run_queue(code_location_limits={"default": 2})
    low = queue.queue(A, 2)
    high = queue.queue(A, 1, priority=5)
    assert queue.tick_ids() == [high[0], low[0]]


def test_limits_hold_over_many_ticks_while_runs_end(run_queue: MakeRunQueue) -> None:
    """A slot that becomes free is filled at the very next tick, never more."""
    queue = run_queue(max_concurrent_runs=4, code_location_limits={"default": 2})
    queue.queue(A, 6)
    queue.queue(B, 3)
    assert queue.tick() == {A: 2, B: 2}
    for _ in range(4):
        assert queue.tick() == {}
        queue.end(A)
        assert queue.tick() == {A: 1}
        assert queue.in_progress(A) == 2


def test_threads_do_not_let_a_limit_be_exceeded(run_queue: MakeRunQueue, request: pytest.FixtureRequest) -> None:
    """With dequeue threads the same runs start."""
    if "ephemeral" in request.node.name:
        pytest.skip("SQLite in memory is one connection, which threads can't share")
    queue = run_queue(
        dequeue_use_threads=True, dequeue_num_workers=4, code_location_limits={"default": 3, "locations": {B: 1}}
    )
    queue.queue(A, 6)
    queue.queue(B, 6)
    with queue.daemon:
        assert queue.tick() == {A: 3, B: 1}
        assert queue.tick() == {}


def test_untagged_runs_in_progress_count(run_queue: MakeRunQueue) -> None:
    """A run that was started without its tag uses up its code location's limit, and is not written to."""
    queue = run_queue(code_location_limits={"default": 3})
    untagged = queue.put(A, DagsterRunStatus.STARTED, 2)
    queue.queue(A, 5)
    assert queue.tick() == {A: 1}
    assert CLT_TAG_KEY not in queue.run(untagged[0]).tags


def test_untagged_queued_runs_are_tagged_and_limited(run_queue: MakeRunQueue) -> None:
    """Runs that another coordinator queued are tagged at the begin of the tick that starts them."""
    queue = run_queue(code_location_limits={"default": 2})
    untagged = queue.put(A, DagsterRunStatus.QUEUED, 4)
    assert queue.tick() == {A: 2}
    assert [queue.run(run_id).tags[CLT_TAG_KEY] for run_id in untagged] == [A] * 4


def test_a_half_written_tag_is_completed(run_queue: MakeRunQueue) -> None:
    """A run whose submit died between the two places of its tag is found by filters and counts all the same."""
    queue = run_queue(code_location_limits={"default": 1})
    run_ids = queue.queue(A, 2)
    storage = queue.instance.run_storage
    assert isinstance(storage, SqlRunStorage)
    with storage.connect() as connection:
        connection.execute(RunTagsTable.delete().where(RunTagsTable.c.key == CLT_TAG_KEY))
    assert queue.tick() == {A: 1}
    tagged = queue.instance.get_runs(RunsFilter(tags={CLT_TAG_KEY: A}))
    assert {run.run_id for run in tagged} == set(run_ids)


def test_a_lowered_limit_starts_nothing_and_stops_nothing(run_queue: MakeRunQueue) -> None:
    """Right after a limit is lowered running runs end by themselves and nothing new starts."""
    queue = run_queue(code_location_limits={"default": 4})
    queue.queue(A, 8)
    assert queue.tick() == {A: 4}
    live.set_limit(queue.instance, A, 2)
    queue.end(A, 2)
    assert queue.tick() == {}
    queue.end(A)
    assert queue.tick() == {A: 1}


def test_a_live_limit_is_in_force_at_the_next_tick(run_queue: MakeRunQueue) -> None:
    """Set, raised and cleared without a restart."""
    queue = run_queue(code_location_limits={"default": 1})
    queue.queue(A, 9)
    live.set_limit(queue.instance, A, 3)
    assert queue.tick() == {A: 3}
    live.clear_limit(queue.instance, A)
    queue.end(A, 3)
    assert queue.tick() == {A: 1}


def test_a_pause_holds_one_code_location_and_resume_brings_its_limit_back(run_queue: MakeRunQueue) -> None:
    """The limit from before the pause holds again, the other code location never noticed."""
    queue = run_queue(code_location_limits={"default": 2})
    live.set_limit(queue.instance, A, 3)
    live.pause(queue.instance, A)
    queue.queue(A, 5)
    queue.queue(B, 5)
    assert queue.tick() == {B: 2}
    live.resume(queue.instance, A)
    assert queue.tick() == {A: 3}


def test_live_changes_work_without_the_option(run_queue: MakeRunQueue) -> None:
    """A coordinator that was configured with nothing of ours can still be limited and paused live."""
    queue = run_queue()
    live.pause(queue.instance, A)
    live.set_limit(queue.instance, B, 1)
    queue.queue(A, 2)
    queue.queue(B, 2)
    assert queue.tick() == {B: 1}


def test_a_corrupt_live_change_falls_back_to_the_configuration(
    run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, by its key, and the configured limit holds."""
    queue = run_queue(code_location_limits={"default": 2})
    key = f"{PREFIX}/limit/{A}"
    queue.instance.daemon_cursor_storage.set_cursor_values({key: "{broken"})
    queue.queue(A, 4)
    assert queue.tick() == {A: 2}
    queue.tick()
    assert [key in line for line in caplog.messages if "can't be read" in line] == [True]


def test_concurrency_runs_of_the_instance_replaces_the_total(run_queue: MakeRunQueue) -> None:
    """The instance's own max_concurrent_runs holds in place of the coordinator's, and the limits beside it."""
    queue = run_queue(
        {"runs": {"max_concurrent_runs": 3}}, max_concurrent_runs=50, code_location_limits={"default": 2}
    )
    queue.queue(A, 4)
    queue.queue(B, 4)
    assert queue.tick() == {A: 2, B: 1}


def test_runs_that_end_early_never_let_the_total_be_exceeded(run_queue: MakeRunQueue) -> None:
    """Runs of no known code location count in the total alone."""
    queue = run_queue(max_concurrent_runs=3, code_location_limits={"default": 2})
    queue.put(None, DagsterRunStatus.STARTED, 1)
    queue.queue(A, 4)
    queue.queue(B, 4)
    assert queue.tick() == {A: 2}


def test_a_pattern_limits_each_code_location_that_matches(run_queue: MakeRunQueue) -> None:
    """Each by itself, one with an entry of its own by that, and those of a group together."""
    queue = run_queue(
        max_concurrent_runs=20,
        code_location_limits={
            "locations": {"pr-*": 2, "pr-3": 4},
            "groups": {"previews": {"locations": ["pr-*"], "limit": 7}},
        },
    )
    for name in ("pr-1", "pr-2", "pr-3", B):
        queue.queue(name, 5)
    assert queue.tick() == {"pr-1": 2, "pr-2": 2, "pr-3": 3, B: 5}
    queue.queue("pr-4", 1)
    assert queue.tick() == {}
    queue.end("pr-1")
    queue.end("pr-2")
    assert sum(queue.tick().values()) == 2
