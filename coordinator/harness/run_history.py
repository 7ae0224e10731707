"""Whether every run came to a good end, whatever broke. Pure: it sees only the runs' histories.

It does not demand what Dagster itself can't guarantee. A launch that was never acknowledged may or may not have
created a run. Dagster's daemon gives up on a retry if the code location can't be loaded at that moment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})


@dataclass(frozen=True)
class RunHistory:
    """What happened to one run.

    Attributes:
        run_id: The run.
        code_location: The code location in the run's origin.
        tag: The code location in the run's tag.
        status: Its current status, by Dagster's name.
        parent: The run that it retries.
        acknowledged: Whether its launch was acknowledged.
        was_queued: Whether it was ever queued.
        dequeues: How often the daemon dequeued it.
        worker_starts: How often a run worker started on it.
        retry_given_up: Whether Dagster's daemon gave up on retrying it.
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


def problems(runs: Iterable[RunHistory], acknowledged: Iterable[str]) -> list[str]:
    """One line for each run that went wrong; empty if all went well.

    Args:
        runs: Every run of the instance.
        acknowledged: The ids of the runs whose launch was acknowledged.
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


def _problems_of_one(run: RunHistory) -> list[str]:
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


def _came_to_success(run: RunHistory, by_id: Mapping[str, RunHistory]) -> bool:
    """Whether the run or one of its retries succeeded, or Dagster gave up on retrying."""
    if run.status == "SUCCESS" or run.retry_given_up:
        return True
    return any(_came_to_success(retry, by_id) for retry in by_id.values() if retry.parent == run.run_id)
