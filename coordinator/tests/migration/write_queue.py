"""Run by the oldest supported Dagster's Python: fills a queue and prints what it then holds, as JSON.

Its one argument is the DAGSTER_HOME.
"""

import json
import sys
from typing import Any

from clt_queued_run_coordinator.store import live
from dagster import DagsterInstance, DagsterRunStatus
from dagster.version import __version__
from tests.run_queue import A, B, RunQueue


def fill(queue: RunQueue) -> None:
    """Runs queued and in progress of two code locations, two queued untagged, a live limit and a pause."""
    queue.queue(A, 6)
    queue.queue(B, 5)
    queue.tick()
    queue.put(A, DagsterRunStatus.QUEUED, 2)
    live.set_limit(queue.instance, A, 3)
    live.pause(queue.instance, B)


def contents(queue: RunQueue) -> dict[str, Any]:
    """Each run's status and tags by its id."""
    return {run.run_id: [run.status.value, dict(run.tags)] for run in queue.instance.get_runs()}


if __name__ == "__main__":
    with DagsterInstance.from_config(sys.argv[1]) as instance:
        written = RunQueue(instance)
        fill(written)
        sys.stdout.write(json.dumps({"version": __version__, "runs": contents(written)}))
