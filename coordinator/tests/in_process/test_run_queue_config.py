"""What everybody but the daemon's tick gets to see of the limits, and what it costs."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
import yaml
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.store import live
from tests.in_process.statements import Statements
from tests.run_queue import A, B, RunQueue, postgresql_run_queue

MakeRunQueue = Callable[..., RunQueue]


def test_a_run_worker_that_asks_for_the_configuration_reads_nothing(run_queue: MakeRunQueue) -> None:
    """Pool code asks once a page and in each run worker, and never looks at the tag limits."""
    queue = run_queue(code_location_limits={"default": 2})
    with Statements() as statements:
        assert queue.instance.get_concurrency_config().run_queue_config
    assert statements.executed == []


def test_a_tick_costs_four_statements_more(run_queue: MakeRunQueue) -> None:
    """Live changes, changed runs, their number, and some tags, however many code locations there are."""
    queue = run_queue(max_concurrent_runs=0, code_location_limits={"default": 2})
    for number in range(5):
        queue.queue(f"code-location-{number}", 2)
    for _ in range(3):
        queue.tick()
    with Statements() as statements:
        queue.tick()
    assert len(statements.executed) <= 5  # one of them is the daemon's own reading of the runs in progress


def test_the_webserver_can_show_the_limits_as_yaml(run_queue: MakeRunQueue) -> None:
    """The limits in force, not the shares, as plain data; a pause as 0, and the default for all others."""
    queue = run_queue(
        code_location_limits={"default": 1, "locations": {A: 2}, "sharing": "fair"}, max_concurrent_runs=3
    )
    live.set_limit(queue.instance, B, 3)
    live.pause(queue.instance, "code-location-c")
    config = queue.instance.get_concurrency_config().run_queue_config
    assert config
    expected: list[dict[str, Any]] = [
        {"key": CLT_TAG_KEY, "value": A, "limit": 2},
        {"key": CLT_TAG_KEY, "value": B, "limit": 3},
        {"key": CLT_TAG_KEY, "value": "code-location-c", "limit": 0},
        {"key": CLT_TAG_KEY, "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
    ]
    assert yaml.safe_load(yaml.dump(config.tag_concurrency_limits)) == expected
    assert yaml.safe_load(yaml.safe_dump(config.tag_concurrency_limits)) == expected
    assert len(config.tag_concurrency_limits) == 4
    assert config.tag_concurrency_limits[0]["value"] == A


def test_a_tick_whose_reading_fails_starts_nothing(
    run_queue: MakeRunQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Dagster's own tick would; the next one goes on."""
    queue = run_queue(code_location_limits={"default": 2})
    queue.queue(A, 1)

    def broken(*_: object) -> None:
        raise sqlalchemy.exc.OperationalError("SELECT", {}, Exception("connection lost"))

    with monkeypatch.context() as patch:
        patch.setattr("clt_queued_run_coordinator.store.live.read", broken)
        with pytest.raises(sqlalchemy.exc.OperationalError):
            queue.tick()
    assert queue.in_progress(A) == 0
    assert queue.tick() == {A: 1}


def test_the_webserver_can_show_the_limits_with_one_connection(new_database: Callable[[], str]) -> None:
    """Its connections are counted: if each of many requests held one and needed another, none could go on."""
    with postgresql_run_queue(new_database(), {"code_location_limits": {"default": 2}}, {}) as queue:
        queue.queue(A, 1)
        queue.instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=-1, max_overflow=0)
        config = queue.instance.get_concurrency_config().run_queue_config
        assert config
        assert {"key": CLT_TAG_KEY, "value": A, "limit": 2} in list(config.tag_concurrency_limits)
