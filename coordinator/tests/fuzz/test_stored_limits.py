"""Live changes that somebody wrote into the database by hand: the daemon's loop goes on."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from clt_queued_run_coordinator._dagster import run_database
from clt_queued_run_coordinator.cli.history import history_table
from clt_queued_run_coordinator.cli.status import status_table
from clt_queued_run_coordinator.daemon import acknowledged_pauses
from clt_queued_run_coordinator.metrics import scrape
from clt_queued_run_coordinator.metrics.server import QueueCollector
from clt_queued_run_coordinator.operate import draining, now
from clt_queued_run_coordinator.operate.status import status
from clt_queued_run_coordinator.policy.changes import PREFIX
from clt_queued_run_coordinator.store import history, live
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console
from tests.fuzz.strategies import damaged, json_values
from tests.fuzz.tried import TRIED
from tests.run_queue import A, B, RunQueue, ephemeral_run_queue

RIGHT = {
    "value": 3,
    "by": "somebody@host",
    "at": "2026-01-01T00:00:00+00:00",
    "until": "2999-01-01T00:00:00+00:00",
    "reason": "a slow database",
}
changes: st.SearchStrategy[Any] = st.builds(
    lambda change, key, value: {**change, key: value}, st.just(RIGHT), st.sampled_from(sorted(RIGHT)), json_values
)
values = (
    st.text(max_size=20)
    | (json_values | changes).map(json.dumps)
    | damaged(json.dumps(RIGHT).encode()).map(lambda content: content.decode(errors="replace"))
)
ENTRY = history.HistoryEntry(RIGHT["at"], "somebody@host", A, "limit", None, 3).as_data()  # type: ignore[arg-type]
entries = st.builds(
    lambda key, value: json.dumps({**ENTRY, key: value}), st.sampled_from(sorted(ENTRY)), json_values
) | damaged(json.dumps(ENTRY).encode()).map(lambda content: content.decode(errors="replace"))
names = st.sampled_from(["limit", "limit-until", "paused", "paused-until", "breaker", "other", ""]).flatmap(
    lambda kind: st.sampled_from([A, "*", "", "/", "never-seen"]).map(lambda name: f"{kind}/{name}")
) | st.text(max_size=10)


@pytest.fixture(scope="module")
def queue() -> Iterator[RunQueue]:
    """An empty queue."""
    config = {"max_concurrent_runs": 10, "code_location_limits": {"default": 5, "sharing": "fair"}}
    with ephemeral_run_queue(config, {}) as opened:
        yield opened


@pytest.mark.timeout(1800)
@settings(max_examples=150)
@example(stored={f"limit/{A}": json.dumps({**RIGHT, "value": 10**400})})
@given(stored=st.dictionaries(names, values, min_size=1, max_size=3))
def test_the_loop_goes_on(queue: RunQueue, stored: dict[str, str]) -> None:
    """Whatever is stored for others, a code location's run starts at the next tick, and the queue can be shown."""
    TRIED["stored live changes"] += 1
    paused = f"{PREFIX}/paused/{B}"
    resumed = json.dumps({**RIGHT, "value": False})
    written = {f"{PREFIX}/{name}": value for name, value in stored.items()}
    # Not paused itself, so that a pause of all does not hold it.
    for key, value in {**written, paused: resumed, f"{PREFIX}/limit/{B}": json.dumps(RIGHT)}.items():
        queue.instance.daemon_cursor_storage.set_cursor_values({key: value})
    queue.queue(B)
    assert queue.tick().get(B) == 1
    queue.end(B)
    state = now.read(queue.instance, queue.coordinator.settings)
    shown = status(state)
    json.dumps(shown.as_data())
    Console(file=io.StringIO(), width=200).print(status_table(shown))
    registry = CollectorRegistry()
    registry.register(QueueCollector(lambda: scrape.read(queue.instance, state), print))
    assert b"\ndagster_clt_up 1.0\n" in generate_latest(registry)
    for key in written:
        queue.instance.daemon_cursor_storage.set_cursor_values({key: json.dumps({**RIGHT, "value": None})})


@pytest.mark.timeout(1800)
@settings(max_examples=100)
@given(stored=st.dictionaries(st.text(max_size=10), values | entries, max_size=3), seen=values)
def test_the_history_and_what_the_daemon_has_seen(queue: RunQueue, stored: dict[str, str], seen: str) -> None:
    """What can't be understood is passed over, and a change can be made and is told."""
    TRIED["stored history"] += 1
    written = {f"{history.PREFIX}{name}": value for name, value in stored.items()}
    for key, value in {**written, acknowledged_pauses.KEY: seen}.items():
        queue.instance.daemon_cursor_storage.set_cursor_values({key: value})
    live.set_limit(queue.instance, A, 3)
    with run_database(queue.instance).connect() as connection:
        read = history.read(connection)
    assert read[0].after == 3
    json.dumps([entry.as_data() for entry in read])
    Console(file=io.StringIO(), width=200).print(history_table(read))
    draining.read(queue.instance, [A])
