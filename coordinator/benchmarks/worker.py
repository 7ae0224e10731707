"""A process that measures one coordinator and answers requests: `python -m benchmarks.worker HOME`.

The published package has the module name of ours, so the two can't be in one process. Each request is a line of
JSON on the standard input, each answer one on the standard output.
"""

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from dagster import DagsterRun
from tests.in_process.statements import Statements
from tests.run_queue import A, RunQueue

from benchmarks.instances import open_queue


class Answers:
    """What a request can ask for, one method each."""

    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue

    def source(self) -> str:
        """The file of the coordinator that is installed here."""
        return sys.modules[CLTQueuedRunCoordinator.__module__].__file__ or ""

    def keep_connections(self) -> None:
        """Let the storages keep connections as a webserver's do, with the defaults of its options."""
        self._queue.instance.optimize_for_webserver(statement_timeout=15_000, pool_recycle=3600, max_overflow=20)

    def submit(self, submits: int, submitters: int) -> float:
        """Seconds of a submit: those of all together divided by their number."""
        return seconds_of_a_submit(self._queue, submits, submitters)

    def statements(self) -> int:
        """The SQL statements of one submit, the first one of the process left out."""
        first, second = self._queue.create(A), self._queue.create(A)
        _submit_all(self._queue, [first])
        with Statements() as statements:
            _submit_all(self._queue, [second])
        return len(statements.executed)

    def memory(self, ticks: int) -> float:
        """By how many MB the process has grown after some ticks."""
        process = psutil.Process()
        before = process.memory_info().rss
        for _ in range(ticks):
            assert not self._queue.tick_ids()
        return float(process.memory_info().rss - before) / 1e6


def seconds_of_a_submit(queue: RunQueue, submits: int, submitters: int) -> float:
    """Seconds of a submit: those of all together divided by their number.

    Args:
        queue: Where to.
        submits: How many each submitter submits.
        submitters: How many threads.
    """
    runs = [[queue.create(A) for _ in range(submits)] for _ in range(submitters)]
    threads = [threading.Thread(target=_submit_all, args=(queue, some)) for some in runs]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    for some in runs:
        for run in some:
            assert queue.run(run.run_id).status.value == "QUEUED"
    return seconds / (submits * submitters)


def _submit_all(queue: RunQueue, runs: list[DagsterRun]) -> None:
    workspace: Any = None  # not looked at by any of these coordinators
    for run in runs:
        queue.instance.submit_run(run.run_id, workspace)


def main() -> None:
    """Answer until the input ends."""
    logging.disable(logging.INFO)
    answers = Answers(open_queue(Path(os.environ["DAGSTER_HOME"])))
    for line in sys.stdin:
        request = json.loads(line)
        value = getattr(answers, request.pop("ask"))(**request)
        print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
