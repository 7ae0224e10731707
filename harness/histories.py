"""What is to become of every run whatever breaks, judged from the runs' histories: no Dagster, no clock.

Not asked for is what Dagster itself can't keep: a launch that was not answered may or may not have made a run; a
retry that Dagster's daemon could not launch (its code location could not be loaded at that moment) is given up.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})


@dataclass(frozen=True)
class History:
    """What became of one run.

    Attributes:
        run_id: The run.
        code_location: The code location that it came from, by its origin.
        tag: The code location that it was tagged with.
        status: Its status now, as Dagster names it.
        parent: The run that it is a retry of.
        acknowledged: Whether its launch was answered with success.
        was_queued: Whether it ever was in the queue.
        dequeues: How often the daemon took it out of the queue.
        worker_starts: How often a run worker began to work on it.
        retry_given_up: Whether Dagster's daemon could not launch its retry.
    """

    run_id: str
    code_location: str | None
    tag: str | None
    status: str
    parent: str | None = None
    acknowledged: bool = True
    was_queued: bool = True
    dequeues: int = 1
    worker_starts: int = 1
    retry_given_up: bool = False


def problems(runs: Iterable[History], acknowledged: Iterable[str]) -> list[str]:
    """A line for each run that did not go as it should; empty where all is well.

    Args:
        runs: Every run of the instance.
        acknowledged: The ids of the runs whose launch was answered with success.
    """
    by_id = {run.run_id: run for run in runs}
    return [
        *(f"run {run_id} was acknowledged and is gone" for run_id in acknowledged if run_id not in by_id),
        *(line for run in by_id.values() for line in _problems_of_one(run)),
        *(
            f"run {run.run_id} ended {run.status} and no retry of it succeeded"
            for run in by_id.values()
            if run.acknowledged and run.status in ENDED and not _came_to_success(run, by_id)
        ),
    ]


def _problems_of_one(run: History) -> list[str]:
    found = []
    if run.status not in ENDED:
        found.append(f"run {run.run_id} is still {run.status}")
    if run.was_queued and run.tag != run.code_location:
        found.append(f"run {run.run_id} of {run.code_location} was queued with the tag {run.tag}")
    if run.worker_starts > 1:
        found.append(f"run {run.run_id} was started by {run.worker_starts} workers")
    if run.acknowledged and not run.was_queued:
        found.append(f"run {run.run_id} was acknowledged and never queued")
    return found


def _came_to_success(run: History, by_id: Mapping[str, History]) -> bool:
    """Whether a run, or a retry of it, succeeded, or Dagster gave up on retrying one of them."""
    if run.status == "SUCCESS" or run.retry_given_up:
        return True
    return any(_came_to_success(retry, by_id) for retry in by_id.values() if retry.parent == run.run_id)
