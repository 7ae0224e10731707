"""What the daemon stores, written by hand: ticks go on, and the metrics are served."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.metrics import scrape
from clt_queued_run_coordinator.metrics.server import QueueCollector
from clt_queued_run_coordinator.operate import now
from dagster import DagsterRunStatus
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
    "narrowed": True,
    "at": 1700000000.5,
    "reading_seconds": 0.01,
    "credit": {"at": 1700000000.5, "slot_seconds": {A: 1.5}},
    "launching": {"began": 1700000000.5, "runs": 2, "first": ["x", "y"]},
    "totals": {A: OF_ONE, 'o"d\n\\d ü/%': OF_ONE},
    "breakers": {A: {"in_a_row": 1, "last": "x"}},
    "tracked": {A: {"1": 0, "2": 0}, B: {"3": 1700000000.5}},
}


def _with_another(right: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda key, value: {**right, key: value}, st.sampled_from(sorted(right)), json_values)


documents = (
    _with_another(RIGHT) | _with_another(OF_ONE).map(lambda of_one: {**RIGHT, "totals": {A: of_one}}) | json_values
).map(json.dumps) | damaged(json.dumps(RIGHT).encode()).map(lambda content: content.decode(errors="replace"))


@pytest.fixture(scope="module")
def queue() -> Iterator[RunQueue]:
    """A queue with nothing but one run in progress, whose number is none of those that are stored."""
    limits = {"sharing": "fair", "default": {"limit": 5, "breaker": {"failures": 9}}}
    with ephemeral_run_queue({"max_concurrent_runs": 10, "code_location_limits": limits}, {}) as opened:
        (ended,) = opened.put(B, DagsterRunStatus.SUCCESS)
        opened.copy(ended, 776)
        opened.put(B, DagsterRunStatus.STARTED)
        yield opened


@settings(max_examples=300, deadline=None)
@example(stored=json.dumps({**RIGHT, "totals": {"\ud800": OF_ONE}}))
@example(stored=json.dumps({**RIGHT, "totals": {A: {**OF_ONE, "starts": 10**400, "waited": 1e400}}}))
@example(stored=json.dumps({**RIGHT, "tracked": {B: {"1": 10**400}}, "at": 10**400}))
@example(stored=json.dumps({**RIGHT, "tracked": {A: {str(10**400): 0}}, "at": 1e300}))
@example(stored=json.dumps({**RIGHT, "credit": {"at": 1.0, "slot_seconds": {A: 10**400}}}))
@example(
    stored=json.dumps({"narrowed": True, "usage": {"at": 1.0, "slot_seconds": {A: 10**400}, "competing": []}})
)
@given(stored=documents)
def test_ticks_go_on(queue: RunQueue, stored: str) -> None:
    """Whatever was stored, runs start, and each sample of a scrape can be read."""
    TRIED["stored totals"] += 1
    queue.instance.daemon_cursor_storage.set_cursor_values({daemon_state.KEY: stored.replace("\0", "")})
    queue.coordinator._daemon_seam._ticks._memory.stored = None
    queue.queue(A)
    assert queue.tick() == {A: 1}
    queue.end(A)
    state = now.read(queue.instance, queue.coordinator.settings)
    registry = CollectorRegistry()
    registry.register(QueueCollector(lambda: scrape.read(queue.instance, state)))
    scraped = generate_latest(registry).decode()
    assert "\ndagster_clt_up 1.0\n" in scraped
    assert list(text_string_to_metric_families(scraped))
