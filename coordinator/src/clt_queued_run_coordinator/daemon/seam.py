"""The one seam to Dagster's daemon. Of the two reads in a tick, one is observed and the other one is answered.

The daemon reads the queue through the instance that it shares with the coordinator, page by page:
`instance.get_runs(RunsFilter(statuses=[QUEUED]), cursor=..., limit=..., ascending=True)`. From the daemon's first
tick on, this call is answered with the runs that may start. Only that one instance object is affected, and every
other call on it goes through unchanged. Since only the daemon begins ticks, nothing changes in any other process.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from clt_queued_run_coordinator._dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    IncompatibleDagsterError,
    RunRecord,
    RunsFilter,
    daemon_step,
)
from clt_queued_run_coordinator.daemon.tick import Ticks

_QUEUED = RunsFilter(statuses=[DagsterRunStatus.QUEUED])


class DaemonSeam:
    """Answers the daemon of one instance.

    Args:
        ticks: Decides which runs may start.
        log: Receives a warning if the daemon reads the queue in a way that this package doesn't know.
    """

    def __init__(self, ticks: Ticks, log: logging.Logger) -> None:
        self._ticks = ticks
        self._log = log
        self._why_unknown: str | None = None
        self._answer: list[DagsterRun] | None = None

    def begin_tick(self, instance: DagsterInstance) -> list[dict[str, Any]]:
        """Begin a tick; returns the tag limits for the daemon."""
        self._answer = None
        tag_limits = self._ticks.begin(instance)
        self._listen_to(instance)
        return tag_limits

    def _listen_to(self, instance: DagsterInstance) -> None:
        answers: dict[str, Callable[..., Any]] = {
            "get_runs": self._queued_runs,
            "get_run_records": self._runs_in_progress,
        }
        for name, answer in answers.items():
            ask = getattr(instance, name)
            if getattr(ask, "answered_by", None) is self:
                continue
            answering = functools.wraps(ask)(functools.partial(answer, instance, ask))
            answering.answered_by = self  # type: ignore[attr-defined]
            setattr(instance, name, answering)

    def _runs_in_progress(
        self, instance: DagsterInstance, ask: Callable[..., Sequence[RunRecord]], *args: Any, **kwargs: Any
    ) -> Sequence[RunRecord]:
        """Observe the daemon's reading of the runs in progress."""
        records = ask(*args, **kwargs)
        if daemon_step() == "_get_in_progress_run_records":
            self._ticks.runs_in_progress(instance, records)
        return records

    def _queued_runs(
        self, instance: DagsterInstance, ask: Callable[..., Sequence[DagsterRun]], *args: Any, **kwargs: Any
    ) -> Sequence[DagsterRun]:
        """Answer the daemon's reading of the queue."""
        if daemon_step() != "_get_runs_to_dequeue":
            return ask(*args, **kwargs)
        known = args == (_QUEUED,) and kwargs.keys() == {"cursor", "limit", "ascending"} and kwargs["ascending"]
        try:
            if not known:
                raise IncompatibleDagsterError("it asks for the queue in a way that this package doesn't know")  # noqa: TRY301
            if self._answer is None:
                self._answer = self._ticks.runs_to_dequeue(instance)
        except IncompatibleDagsterError as error:
            self._leave_to_dagster(instance, str(error))
            return ask(*args, **kwargs)
        if self._answer is None:
            return ask(*args, **kwargs)
        self._why_unknown = None
        return _page(self._answer, kwargs["cursor"], kwargs["limit"])

    def _leave_to_dagster(self, instance: DagsterInstance, why: str) -> None:
        self._ticks.left_to_dagster(instance)
        if self._why_unknown == why:
            return
        self._why_unknown = why
        self._log.error(
            "Dagster's daemon reads its whole queue, because %s. Limits and pauses apply as plain tag limits, to"
            " runs that carry their tag; shares, minimums, groups and limits within a code location don't apply."
            " Install a Dagster that dagster-clt-queued-run-coordinator supports, or a version of it that supports"
            " this one.",
            why,
        )


def _page(runs: Sequence[DagsterRun], cursor: str | None, limit: int) -> list[DagsterRun]:
    """One page of the answer: at most `limit` runs that follow the run named by the cursor."""
    start = 0
    if cursor:
        start = next((place for place, run in enumerate(runs, 1) if run.run_id == cursor), len(runs))
    return list(runs[start : start + limit])
