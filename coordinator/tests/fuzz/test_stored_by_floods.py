"""What `max_queued` and the circuit breakers keep in the database, overwritten by hand: both go on."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.submit import refused
from clt_queued_run_coordinator.submit.max_queued import QueueFullError
from dagster import DagsterRunStatus
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.strategies import damaged, json_values
from tests.fuzz.tried import TRIED
from tests.run_queue import A, B, RunQueue, ephemeral_run_queue

COUNTED = {"in_a_row": 1, "failed_at": [1.5], "closed_at": 3.5, "open": {"at": 1.0, "until": 2.0}}
TOTALS: dict[str, Any] = {"totals": {}, "tracked": {}, "breakers": {A: COUNTED}}


def broken(right: dict[str, Any]) -> st.SearchStrategy[str]:
    """Something near to what is right, or anything."""
    replaced = st.builds(
        lambda key, value: json.dumps({**right, key: value}), st.sampled_from(sorted(right)), json_values
    )
    return (
        replaced
        | json_values.map(json.dumps)
        | damaged(json.dumps(right).encode()).map(lambda content: content.decode(errors="replace"))
    )


@pytest.fixture(scope="module")
def queue() -> Iterator[RunQueue]:
    """A queue with a limit for a, whose runs nothing starts, and b's runs to look through."""
    breaker = {"failures": 2, "manual_launches": True}
    limits = {"locations": {A: {"max_queued": 2, "limit": 0, "breaker": breaker}, B: {"breaker": breaker}}}
    with ephemeral_run_queue({"code_location_limits": limits}, {}) as opened:
        opened.queue(A, 2)
        opened.put(B, DagsterRunStatus.QUEUED, 2, tag=B)
        opened.tick()
        yield opened


@pytest.mark.timeout(1800)
@settings(max_examples=200)
@given(number=st.text(max_size=20) | st.integers().map(str))
def test_a_full_queue_refuses(queue: RunQueue, number: str) -> None:
    """Whatever is stored of earlier refusals."""
    TRIED["stored counts of the queue"] += 1
    queue.instance.daemon_cursor_storage.set_cursor_values({f"{refused.PREFIX}{A}": number})
    with queue.storage.connect() as connection:
        refused.read_refused(connection)
    with pytest.raises(QueueFullError):
        queue.submit(A)


@pytest.mark.timeout(1800)
@settings(max_examples=200)
@given(
    stored=broken(TOTALS)
    | broken(COUNTED).map(lambda text: json.dumps(TOTALS).replace("{}", text, 1))
    | st.builds(
        lambda key, value: json.dumps({**TOTALS, "breakers": {B: {**COUNTED, key: value}}}),
        st.sampled_from(sorted(COUNTED)),
        json_values,
    )
)
def test_the_loop_goes_on(queue: RunQueue, stored: str) -> None:
    """Whatever is stored of the breakers, two failed runs hold their code location."""
    TRIED["stored state of the circuit breakers"] += 1
    live.resume(queue.instance, B)
    queue.instance.daemon_cursor_storage.set_cursor_values({daemon_state.KEY: stored})
    queue.coordinator._daemon_seam._ticks._memory.stored = None
    run_ids = queue.queue(B, 2)
    for _ in range(3):
        queue.tick()
    for run_id in run_ids:
        queue.instance.report_run_failed(queue.run(run_id))
    queue.tick()
    queue.tick()
    with queue.storage.connect() as connection:
        changes = live.read(connection)
    assert changes.unreadable == ()
