"""What the daemon and `max_queued` store, written by hand: ticks go on, breakers hold, and all can be shown."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from clt_queued_run_coordinator.cli.status import status_table
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.metrics import scrape
from clt_queued_run_coordinator.metrics.server import QueueCollector
from clt_queued_run_coordinator.operate import now
from clt_queued_run_coordinator.operate.status import status
from clt_queued_run_coordinator.policy.in_force import Source
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.submit import refused
from clt_queued_run_coordinator.submit.max_queued import QueueFullError
from dagster import DagsterRunStatus
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from tests.fuzz.strategies import damaged, json_values
from tests.fuzz.tried import TRIED
from tests.run_queue import A, B, RunQueue, ephemeral_run_queue

OF_ONE: dict[str, Any] = {
    "starts": 3,
    "ends": {"success": 1, "failure": 1, "canceled": 0},
    "waits": [1, 0, 2, 0, 0, 0, 0, 0, 0, 0],
    "waited": 20.5,
}
BREAKER = {"in_a_row": 1, "failed_at": [1.5], "closed_at": 3.5, "last": "x", "open": {"at": 1.0, "until": 2.0}}
CREDIT = {"at": 1700000000.5, "slot_seconds": {A: 1.5, "/team": -3.0}, "faded": {A: 0.5}, "blocked": [B]}
LAUNCHING = {"began": 1700000000.5, "runs": 2, "first": ["x", "y"]}
RIGHT: dict[str, Any] = {
    "narrowed": True,
    "at": 1700000000.5,
    "reading_seconds": 0.01,
    "credit": CREDIT,
    "launching": LAUNCHING,
    "totals": {A: OF_ONE, 'o"d\n\\d ü/%': OF_ONE},
    "breakers": {A: BREAKER},
    "tracked": {A: {"1": 0, "2": 0}, B: {"3": 1700000000.5}},
}


def _other(right: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with one part that is something else."""
    return st.builds(lambda key, value: {**right, key: value}, st.sampled_from(sorted(right)), json_values)


documents: st.SearchStrategy[str] = st.one_of(
    *(
        part.map(json.dumps)
        for part in (
            json_values,
            _other(RIGHT),
            _other(OF_ONE).map(lambda totals: {**RIGHT, "totals": {A: totals}}),
            _other(BREAKER).map(lambda breaker: {**RIGHT, "breakers": {B: breaker}}),
            _other(CREDIT).map(lambda credit: {**RIGHT, "credit": credit}),
            _other(LAUNCHING).map(lambda launching: {**RIGHT, "launching": launching}),
            st.dictionaries(st.text(max_size=8) | st.integers().map(str), json_values).map(
                lambda tracked: {**RIGHT, "tracked": {B: tracked}}
            ),
        )
    ),
    damaged(json.dumps(RIGHT).encode()).map(lambda content: content.decode(errors="replace").replace("\0", "")),
)
HUGE = 10**400


@pytest.fixture(scope="module")
def queue() -> Iterator[RunQueue]:
    """A queue with a run in progress that nobody tracks; the runs of a wait, and nothing holds those of b."""
    breaker = {"failures": 2}
    limits = {"sharing": "fair", "locations": {A: {"max_queued": 2, "limit": 0}, B: {"breaker": breaker}}}
    with ephemeral_run_queue({"max_concurrent_runs": 10, "code_location_limits": limits}, {}) as opened:
        (ended,) = opened.put(B, DagsterRunStatus.SUCCESS)
        opened.copy(ended, 776)
        opened.put(B, DagsterRunStatus.STARTED)
        opened.queue(A, 2)
        yield opened


@settings(max_examples=150, deadline=None)
@example(stored=json.dumps({**RIGHT, "totals": {"\ud800": OF_ONE}}))
@example(stored=json.dumps({**RIGHT, "totals": {A: {**OF_ONE, "starts": HUGE, "waited": 1e400}}}))
@example(stored=json.dumps({**RIGHT, "tracked": {B: {"1": HUGE}}, "at": HUGE}))
@example(stored=json.dumps({**RIGHT, "tracked": {A: {str(HUGE): 0}}, "at": 1e300}))
@example(stored=json.dumps({**RIGHT, "tracked": {A: {"9" * 5000: 0}}}))
@example(stored=json.dumps({**RIGHT, "credit": {"at": 1.0, "slot_seconds": {A: HUGE}, "faded": {B: HUGE}}}))
@example(stored=json.dumps({**RIGHT, "credit": {"at": HUGE, "slot_seconds": {B: 1e308}}}))
@example(stored=json.dumps({"narrowed": True, "usage": {"at": 1.0, "slot_seconds": {A: HUGE}}}))
@example(stored="[" * 100_000)
@given(stored=documents)
def test_the_loop_goes_on(queue: RunQueue, stored: str) -> None:
    """Runs start and are counted, two failed ones hold their code location, and the queue can be shown."""
    TRIED["stored state of the daemon"] += 1
    live.resume(queue.instance, B)
    queue.instance.daemon_cursor_storage.set_cursor_values({daemon_state.KEY: stored})
    queue.coordinator._daemon_seam._ticks._stored = None
    run_ids = queue.queue(B, 2)
    for _ in range(3):
        queue.tick()
    for run_id in run_ids:
        queue.instance.report_run_failed(queue.run(run_id))
    queue.tick()
    state = now.read(queue.instance, queue.coordinator.settings)
    assert state.state.in_force(B).source is Source.BREAKER
    with queue.storage.connect() as connection:
        assert daemon_state.read(connection).totals[B].starts > 0
        assert live.read(connection).unreadable == ()
    shown = status(state)
    json.dumps(shown.as_data(), allow_nan=False)
    Console(file=io.StringIO(), width=200).print(status_table(shown))
    registry = CollectorRegistry()
    registry.register(QueueCollector(lambda: scrape.read(queue.instance, state), print))
    scraped = generate_latest(registry).decode()
    assert "\ndagster_clt_up 1.0\n" in scraped
    assert list(text_string_to_metric_families(scraped))


@settings(max_examples=50, deadline=None)
@given(number=st.text(max_size=20) | st.integers().map(str))
def test_a_full_queue_refuses(queue: RunQueue, number: str) -> None:
    """Whatever is stored of earlier refusals."""
    TRIED["stored counts of the queue"] += 1
    queue.instance.daemon_cursor_storage.set_cursor_values({f"{refused.PREFIX}{A}": number})
    with queue.storage.connect() as connection:
        refused.read_refused(connection)
    with pytest.raises(QueueFullError):
        queue.submit(A)
