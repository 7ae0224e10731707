"""What a tick logs, as text and as JSON."""

import json
import logging
from collections.abc import Callable

import pytest
from dagster._utils.log import get_structlog_json_formatter
from tests.in_process.storages import on_one_storage
from tests.run_queue import A, B, RunQueue

MakeRunQueue = Callable[..., RunQueue]


def as_json(record: logging.LogRecord) -> dict[str, object]:
    """A line as `dagster-daemon run --log-format json` prints it."""
    found: dict[str, object] = json.loads(get_structlog_json_formatter().format(record))
    return found


@on_one_storage
def test_a_tick_says_what_it_starts(run_queue: MakeRunQueue, caplog: pytest.LogCaptureFixture) -> None:
    """In one line; a tick that changes nothing says nothing."""
    queue = run_queue(max_concurrent_runs=20, code_location_limits={"default": 2})
    queue.queue(A, 3)
    queue.queue(B, 1)
    with caplog.at_level(logging.INFO):
        queue.tick()
        queue.tick()
        queue.tick()
    (starting,) = [each for each in caplog.records if each.getMessage().startswith("Starting ")]
    assert starting.getMessage() == "Starting 3 of 4 queued runs; 0 in progress, max_concurrent_runs 20."
    (held,) = [each for each in caplog.records if each.getMessage().startswith("No queued run can start")]
    fields = as_json(starting)
    assert isinstance(fields.pop("tick_seconds"), float)
    numbers = {"starting": 3, "queued": 4, "in_progress": 0, "max_concurrent_runs": 20}
    assert fields.items() >= {**numbers, "starting_of": {A: 2, B: 1}}.items()
    assert as_json(held).items() >= {"starting": 0, "queued": 1, "in_progress": 3}.items()
