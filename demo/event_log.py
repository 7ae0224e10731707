"""What the event log says of runs: when they were in progress."""

from collections.abc import Iterable

import dagster as dg
from clt_queued_run_coordinator.tagging import code_location_of
from dagster import DagsterEventType as Event

from demo.judge import InProgress

_IN = Event.PIPELINE_STARTING
_OUT = {Event.PIPELINE_ENQUEUED, Event.PIPELINE_SUCCESS, Event.PIPELINE_FAILURE, Event.PIPELINE_CANCELED}


def runs_in_progress(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> list[InProgress]:
    """When each run was in progress: from PIPELINE_STARTING until it ended or went back into the queue.

    The daemon writes PIPELINE_STARTING where it takes a run out of the queue: from there on limits count it.
    """
    return [times for run_id in run_ids for times in _of_one_run(instance, run_id)]


def _of_one_run(instance: dg.DagsterInstance, run_id: str) -> list[InProgress]:
    run = instance.get_run_by_id(run_id)
    code_location = code_location_of(run) if run else None
    if code_location is None:
        return []
    found: list[InProgress] = []
    start: float | None = None
    for entry in instance.all_logs(run_id, of_type={_IN, *_OUT}):
        event = entry.get_dagster_event().event_type
        if event is _IN and start is None:
            start = entry.timestamp
        elif event in _OUT and start is not None:
            found.append(InProgress(run_id, code_location, start, entry.timestamp))
            start = None
    if start is not None:
        found.append(InProgress(run_id, code_location, start, None))
    return found
