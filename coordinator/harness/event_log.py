"""Reads from the event log when runs were queued and in progress, and what became of them."""

from collections.abc import Collection, Iterable, Sequence

import dagster as dg
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY, code_location_of
from dagster import DagsterEventType as Event
from dagster import EventLogRecord

from harness.concurrency import InProgress, Queued
from harness.run_history import RunHistory

_KINDS = {
    Event.PIPELINE_ENQUEUED,
    Event.PIPELINE_STARTING,
    Event.PIPELINE_SUCCESS,
    Event.PIPELINE_FAILURE,
    Event.PIPELINE_CANCELED,
}
_RETRY_GIVEN_UP = "Failed to retry run"
"""Dagster's daemon logs this message when it can't launch a retry. It does not try again."""


def runs_in_progress(
    instance: dg.DagsterInstance, run_ids: Iterable[str], *, by_position: bool = False
) -> list[InProgress]:
    """When each run was in progress: from PIPELINE_STARTING until it ended or went back into the queue.

    The daemon logs PIPELINE_STARTING when it dequeues a run; limits count the run from then on.

    Args:
        instance: The instance.
        run_ids: The runs.
        by_position: Return positions in the event log instead of times, for writers whose clocks differ.
    """
    return [
        InProgress(run_id, name, start, end)
        for run_id, name, records in _logs(instance, run_ids)
        for start, end in _times(records, Event.PIPELINE_STARTING, by_position)
    ]


def runs_queued(
    instance: dg.DagsterInstance, run_ids: Iterable[str], *, by_position: bool = False
) -> list[Queued]:
    """When each run was queued; takes the same arguments as `runs_in_progress`."""
    return [
        Queued(run_id, name, start, end)
        for run_id, name, records in _logs(instance, run_ids)
        for start, end in _times(records, Event.PIPELINE_ENQUEUED, by_position)
    ]


def run_histories(instance: dg.DagsterInstance, acknowledged: Collection[str] = ()) -> list[RunHistory]:
    """The history of every run of an instance.

    Args:
        instance: The instance.
        acknowledged: The ids of the runs whose launch was acknowledged.
    """
    found = []
    for run in instance.get_runs():
        events = [entry.get_dagster_event() for entry in instance.all_logs(run.run_id) if entry.is_dagster_event]
        kinds = [event.event_type for event in events]
        found.append(
            RunHistory(
                run_id=run.run_id,
                code_location=code_location_of(run),
                tag=run.tags.get(CLT_TAG_KEY),
                status=run.status.value,
                parent=run.parent_run_id,
                acknowledged=run.run_id in acknowledged,
                was_queued=Event.PIPELINE_ENQUEUED in kinds,
                dequeues=kinds.count(Event.PIPELINE_STARTING),
                worker_starts=kinds.count(Event.PIPELINE_START),
                retry_given_up=any(event.message == _RETRY_GIVEN_UP for event in events),
            )
        )
    return found


def _logs(
    instance: dg.DagsterInstance, run_ids: Iterable[str]
) -> Iterable[tuple[str, str, Sequence[EventLogRecord]]]:
    """Each run whose code location is known: its id, its code location and its status events."""
    for run_id in run_ids:
        run = instance.get_run_by_id(run_id)
        name = code_location_of(run) if run else None
        if name:
            yield run_id, name, instance.get_records_for_run(run_id, of_type=_KINDS).records


def _times(
    records: Iterable[EventLogRecord], begins: Event, by_position: bool
) -> Iterable[tuple[float, float | None]]:
    """The interval from each event of one kind to the next event of another kind."""
    start: float | None = None
    for record in records:
        time = record.storage_id if by_position else record.event_log_entry.timestamp
        begin = record.event_log_entry.get_dagster_event().event_type is begins
        if begin and start is None:
            start = time
        elif not begin and start is not None:
            yield start, time
            start = None
    if start is not None:
        yield start, None
