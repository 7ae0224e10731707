"""What the event log says of runs: when they were queued, in progress and at an end."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.concurrency import InProgress, violations
from harness.graphql import Launch
from harness.launches import launch_of
from harness.waiting import wait_until

from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
TAG = "code_location"
ENDS = {"RUN_SUCCESS": "SUCCESS", "RUN_FAILURE": "FAILURE", "RUN_CANCELED": "CANCELED"}


@dataclass(frozen=True)
class History:
    """One run's times, from its events.

    Attributes:
        run_id: The run.
        code_location: Its code location.
        enqueued: When it was queued, in seconds since the epoch.
        in_progress: From each time that it left the queue to its end, or to when it was put back.
        starts: How often its run worker began to work.
    """

    run_id: str
    code_location: str
    enqueued: float
    in_progress: tuple[InProgress, ...]
    starts: int

    def waits_at(self, time: float) -> bool:
        """Whether it was in the queue at a time."""
        return self.enqueued <= time and all(time < interval.start for interval in self.in_progress)


def history(run_id: str, code_location: str, events: Iterable[tuple[str, float]]) -> History:
    """Read a run's history from its events, oldest first."""
    intervals: list[InProgress] = []
    enqueued, started, starts = float("inf"), None, 0
    for kind, time in events:
        if kind == "RUN_ENQUEUED":
            enqueued = min(enqueued, time)
        starts += kind == "RUN_START"
        if kind == "RUN_STARTING" and started is None:
            started = time
        elif started is not None and kind in {"RUN_ENQUEUED", *ENDS}:
            intervals.append(InProgress(run_id, code_location, started, time))
            started = None
    if started is not None:
        intervals.append(InProgress(run_id, code_location, started, None))
    return History(run_id, code_location, enqueued, tuple(intervals), starts)


def burst(location: str, count: int, seconds: float = 2) -> list[Launch]:
    """Some runs of a sample code location, each of which works some seconds."""
    return [launch_of(location, seconds)] * count


def wait_for_end(webserver: Webserver, run_ids: Sequence[str], seconds: float = 300) -> list[dict[str, Any]]:
    """Wait until each of the runs has ended, whichever way."""
    log.info("waiting for the end of %d runs", len(run_ids))

    def ended() -> list[dict[str, Any]]:
        runs = webserver.runs(run_ids)
        return runs if len(runs) == len(run_ids) and all(run["status"] in ENDS.values() for run in runs) else []

    return wait_until(f"{len(run_ids)} runs ended", ended, seconds, every=2)


def wait_for_retries(webserver: Webserver, run_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Wait until each of the runs, which have failed, has been retried; the retries."""

    def retried() -> list[dict[str, Any]]:
        found = [run for run in webserver.runs() if run["parentRunId"] in run_ids]
        return found if {run["parentRunId"] for run in found} == set(run_ids) else []

    return wait_until(f"{len(run_ids)} runs are retried", retried, every=2) if run_ids else []


def succeeded(runs: Iterable[Mapping[str, Any]]) -> None:
    """Assert that every run ended in SUCCESS."""
    assert {run["id"]: run["status"] for run in runs if run["status"] != "SUCCESS"} == {}


def histories(webserver: Webserver, runs: Iterable[Mapping[str, Any]]) -> list[History]:
    """The histories of runs."""
    return [
        history(run["id"], run["repositoryOrigin"]["repositoryLocationName"], webserver.events(run["id"]))
        for run in runs
    ]


def held(found: Sequence[History], limits: Mapping[str, int], total: int, since: float = 0) -> None:
    """Assert that no start brought a code location above its limit, nor all of them above the total.

    Args:
        found: The histories of all runs of that time.
        limits: The limit of each code location.
        total: max_concurrent_runs.
        since: Starts before that time are not judged: another coordinator made them.
    """
    intervals = [interval for each in found for interval in each.in_progress]
    broken = violations(intervals, limits, total)
    assert [str(violation) for violation in broken if violation.time >= since] == []


def reached(found: Sequence[History], limits: Mapping[str, int]) -> None:
    """Assert that each code location had as many runs in progress as its limit while more of its runs waited."""
    for location, limit in limits.items():
        own = [each for each in found if each.code_location == location]
        full = [
            start.start
            for each in own
            for start in each.in_progress
            if sum(any(interval.includes(start.start) for interval in other.in_progress) for other in own) == limit
        ]
        assert any(other.waits_at(time) for time in full for other in own), f"{location} never filled its limit"
