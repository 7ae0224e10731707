"""Totals that somebody wrote into the database by hand: the daemon counts on, and the metrics are served."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from clt_queued_run_coordinator.daemon import last_tick, stored_totals
from clt_queued_run_coordinator.daemon.run_tracker import RunTracker
from clt_queued_run_coordinator.metrics import scrape
from clt_queued_run_coordinator.metrics.server import QueueCollector
from clt_queued_run_coordinator.operate import now
from dagster import DagsterRunStatus, RunsFilter
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.fuzz.strategies import damaged, json_values
from tests.fuzz.tried import TRIED
from tests.run_queue import A, B, RunQueue, ephemeral_run_queue

OF_ONE: dict[str, Any] = {
    "starts": 3,
    "ends": {"success": 1, "failure": 1, "canceled": 0},
    "waits": [1, 0, 2, 0, 0, 0, 0, 0, 0, 0],
    "waited": 20.5,
}
RIGHT: dict[str, Any] = {
    "totals": {A: OF_ONE, 'o"d\n\\d ü/%': OF_ONE},
    "in_progress": {A: [1, 2]},
    "offered": {B: {"3": 1700000000.5}},
}
TICK = {"at": 1700000000.5, "reading_seconds": 0.01}


def _with_another(right: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda key, value: {**right, key: value}, st.sampled_from(sorted(right)), json_values)


totals = (
    _with_another(RIGHT) | _with_another(OF_ONE).map(lambda of_one: {**RIGHT, "totals": {A: of_one}}) | json_values
).map(json.dumps) | damaged(json.dumps(RIGHT).encode()).map(lambda content: content.decode(errors="replace"))
ticks = (_with_another(TICK) | json_values).map(json.dumps) | st.text(max_size=20)


@pytest.fixture(scope="module")
def queue() -> Iterator[RunQueue]:
    """A queue with nothing but one run in progress, whose number is none of those that are stored."""
    with ephemeral_run_queue({"max_concurrent_runs": 10, "code_location_limits": {"default": 5}}, {}) as opened:
        (ended,) = opened.put(B, DagsterRunStatus.SUCCESS)
        opened.copy(ended, 776)
        opened.put(B, DagsterRunStatus.STARTED)
        yield opened


@settings(max_examples=300, deadline=None)
@example(stored=json.dumps({**RIGHT, "totals": {"\ud800": OF_ONE}}), tick="")
@example(stored=json.dumps({**RIGHT, "totals": {A: {**OF_ONE, "starts": 10**400, "waited": 1e400}}}), tick="")
@example(stored=json.dumps({**RIGHT, "offered": {B: {"1": 10**400}}}), tick=json.dumps({**TICK, "at": 10**400}))
@example(stored=json.dumps({**RIGHT, "in_progress": {A: [10**30]}}), tick=json.dumps({**TICK, "at": 1e300}))
@given(stored=totals, tick=ticks)
def test_the_daemon_counts_on(queue: RunQueue, stored: str, tick: str) -> None:
    """Whatever was stored, a start is counted from there, and each sample of a scrape can be read."""
    TRIED["stored totals"] += 1
    for key, value in {stored_totals.KEY: stored, last_tick.KEY: tick}.items():
        queue.instance.daemon_cursor_storage.set_cursor_values({key: value.replace("\0", "")})
    records = queue.instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
    followed = RunTracker()
    with queue.storage.connect() as connection:
        followed.read(connection)
        before = stored_totals.read_totals(connection)
    starts = before[B].starts if B in before else 0
    followed.update(queue.instance, [], {}, (), whole=False)
    followed.update(queue.instance, records, {}, (), whole=False)
    followed.store(queue.instance)
    with queue.storage.connect() as connection:
        assert stored_totals.read_totals(connection)[B].starts > starts
    state = now.read(queue.instance, queue.coordinator.settings)
    registry = CollectorRegistry()
    registry.register(QueueCollector(lambda: scrape.read(queue.instance, state)))
    scraped = generate_latest(registry).decode()
    assert "\ndagster_clt_up 1.0\n" in scraped
    assert list(text_string_to_metric_families(scraped))
