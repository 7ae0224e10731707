"""A process of its own that submits runs: `python -m tests.in_process.submitter DAGSTER_HOME CODE_LOCATION RUNS`.

It says on standard output how many were queued, once the line that it waits for has come on standard input.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from clt_queued_run_coordinator.submit.max_queued import QueueFullError
from dagster import DagsterInstance
from tests.run_queue import RunQueue

THREADS = 4


def submitted(queue: RunQueue, code_location: str, runs: int) -> int:
    """Submit so many runs in several threads; returns how many were queued, the others having been refused."""
    workspace = None
    run_ids = [queue.create(code_location).run_id for _ in range(runs)]

    def submit(run_id: str) -> bool:
        try:
            queue.instance.submit_run(run_id, workspace)  # type: ignore[arg-type]
        except QueueFullError:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(submit, run_ids))


if __name__ == "__main__":
    home, name, number = sys.argv[1:]
    with DagsterInstance.from_config(home) as instance:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        sys.stdout.write(f"{submitted(RunQueue(instance), name, int(number))}\n")
