"""What everybody but the daemon's tick gets to see of the limits, and what it costs."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
import yaml
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.limits import live
from clt_queued_run_coordinator.limits.configuration import ConfigurationError

from tests.in_process.statements import Statements
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]


def test_a_run_worker_that_asks_for_the_configuration_reads_nothing(run_queue: MakeRunQueue) -> None:
    """Pool code asks once a page and in each run worker, and never looks at the tag limits."""
    queue = run_queue(code_location_limits={"default": 2})
    with Statements() as statements:
        assert queue.instance.get_concurrency_config().run_queue_config
    assert statements.executed == []


def test_a_tick_costs_two_statements_more(run_queue: MakeRunQueue) -> None:
    """Counts and live changes, however many code locations there are."""
    queue = run_queue(max_concurrent_runs=0, code_location_limits={"default": 2})
    for number in range(5):
        queue.queue(f"code-location-{number}", 2)
    queue.tick()
    with Statements() as statements:
        queue.tick()
    ours = [statement for statement in statements.executed if "GROUP BY" in statement or "kvs" in statement]
    assert len(ours) == 2
    assert len(statements.executed) <= 3


def test_the_webserver_can_show_the_limits_as_yaml(run_queue: MakeRunQueue) -> None:
    """The limits in force, not the shares, as plain data."""
    queue = run_queue(
        code_location_limits={"default": 4, "locations": {A: 2}, "sharing": "fair"}, max_concurrent_runs=3
    )
    live.set_limit(queue.instance, B, 3)
    config = queue.instance.get_concurrency_config().run_queue_config
    assert config
    expected: list[dict[str, Any]] = [
        {"key": CLT_TAG_KEY, "value": A, "limit": 2},
        {"key": CLT_TAG_KEY, "value": B, "limit": 3},
        {"key": CLT_TAG_KEY, "value": {"applyLimitPerUniqueValue": True}, "limit": 4},
    ]
    assert yaml.safe_load(yaml.dump(config.tag_concurrency_limits)) == expected
    assert yaml.safe_load(yaml.safe_dump(config.tag_concurrency_limits)) == expected
    assert len(config.tag_concurrency_limits) == 3
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
        patch.setattr("clt_queued_run_coordinator.queue.state.run_counts.read", broken)
        with pytest.raises(sqlalchemy.exc.OperationalError):
            queue.tick()
    assert queue.in_progress(A) == 0
    assert queue.tick() == {A: 1}


def test_tag_limits_of_the_instance_beside_our_limits_are_refused(run_queue: MakeRunQueue) -> None:
    """They would replace ours without a word."""
    shadowing = {"runs": {"tag_concurrency_limits": [{"key": "database", "limit": 1}]}}
    with pytest.raises(ConfigurationError, match="replaces the coordinator's code_location_limits"):
        _ = run_queue(shadowing, code_location_limits={"default": 2}).coordinator


def test_the_daemon_is_recognised_at_the_begin_of_its_tick(run_queue: MakeRunQueue) -> None:
    """The one place that depends on the daemon's own code: shares are dealt only where it works."""
    queue = run_queue(max_concurrent_runs=2, code_location_limits={"sharing": "fair"})
    queue.queue(A, 5)
    queue.queue(B, 5)
    assert queue.tick() == {A: 1, B: 1}
