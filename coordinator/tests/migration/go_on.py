"""Run by the oldest supported Dagster's Python on a migrated database: goes on with the queue, prints what it did.

Its one argument is the DAGSTER_HOME.
"""

import json
import sys
from typing import Any

from clt_queued_run_coordinator.store import live
from dagster import DagsterInstance
from dagster.version import __version__
from tests.run_queue import B, RunQueue


def go_on(queue: RunQueue) -> dict[str, Any]:
    """One tick with the live changes as they were, a new run, and one tick without the pause."""
    first = queue.tick()
    queue.end(B, 2)
    queue.submit(B)
    live.resume(queue.instance, B)
    return {"version": __version__, "first": first, "second": queue.tick()}


if __name__ == "__main__":
    with DagsterInstance.from_config(sys.argv[1]) as instance:
        sys.stdout.write(json.dumps(go_on(RunQueue(instance))))
