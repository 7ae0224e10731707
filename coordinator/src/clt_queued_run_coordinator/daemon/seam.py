"""The one seam to Dagster's daemon. Of the two reads in a tick, one is observed and the other one is answered.

The daemon reads the queue through the instance that it shares with the coordinator, page by page:
`instance.get_runs(RunsFilter(statuses=[QUEUED]), cursor=..., limit=..., ascending=True)`. From the daemon's first
tick on, this call is answered with the runs that may start. Only that one instance object is affected, and every
other call on it goes through unchanged. Since only the daemon begins ticks, nothing changes in any other process.

Each tick stands for itself. If the daemon asks in a way that isn't known, it gets Dagster's own queue in this
tick, and the limits in force as plain tag limits, which it got at the tick's begin in any case.
"""

import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from clt_queued_run_coordinator._dagster import (
    IN_PROGRESS_STATUSES,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    IncompatibleDagsterError,
    RunRecord,
    RunsFilter,
    daemon_step,
)
from clt_queued_run_coordinator.daemon.tick import Ticks

SILENT_TICKS = 3
"""After this many consecutive ticks in which the daemon went on without asking, it must be reading in another way.
That is only told; it changes nothing of how a tick works."""

_QUEUED = RunsFilter(statuses=[DagsterRunStatus.QUEUED])
_IN_PROGRESS = RunsFilter(statuses=IN_PROGRESS_STATUSES)


class DaemonSeam:
    """Answers the daemon of one instance."""

    def __init__(self, ticks: Ticks, log: logging.Logger) -> None:
        self._ticks = ticks
        self._log = log
        self._expected = ""
        self._silent_ticks = 0
        self._told: str | None = None
        self._answer: list[DagsterRun] | None = None
        self._seconds = 0.0

    def begin_tick(self, instance: DagsterInstance) -> list[dict[str, Any]]:
        """Begin a tick; returns the tag limits for the daemon."""
        self._notice_silence(instance)
        self._seconds, self._answer, self._expected = 0.0, None, ""
        with self._measured():
            self._ticks.begin(instance)
        self._listen_to(instance)
        self._expected = "the runs in progress"
        return self._ticks.tag_limits

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
        is_known = (*args, *kwargs.values()) == (_IN_PROGRESS,)
        if not (is_known and self._expected and daemon_step()):
            return ask(*args, **kwargs)
        self._expected = ""
        records = ask(*args, **kwargs)
        with self._measured():
            self._ticks.see_in_progress(instance, records)
        if self._ticks.state.free_slots == 0:  # the daemon won't read the queue
            self._ticks.record(instance, self._seconds)
        else:
            self._expected = "the queue"
        return records

    def _queued_runs(
        self, instance: DagsterInstance, ask: Callable[..., Sequence[DagsterRun]], *args: Any, **kwargs: Any
    ) -> Sequence[DagsterRun]:
        """Answer the daemon's reading of the queue."""
        if daemon_step() != "_get_runs_to_dequeue" or (self._answer is None and not self._expected):
            return ask(*args, **kwargs)
        expected, self._expected, self._silent_ticks = self._expected, "", 0
        if expected == "the runs in progress":
            return self._pass_on(
                instance, "it doesn't ask the instance for the runs in progress", ask, args, kwargs
            )
        if not (args == (_QUEUED,) and kwargs.keys() == {"cursor", "limit", "ascending"} and kwargs["ascending"]):
            why = "it asks for the queue in a way that this package doesn't know"
            return self._pass_on(instance, why, ask, args, kwargs)
        if self._answer is None:
            try:
                with self._measured():
                    answer = self._ticks.offer(instance)
            except IncompatibleDagsterError as error:
                return self._pass_on(instance, str(error), ask, args, kwargs)
            self._told, self._answer = None, answer
            self._ticks.record(instance, self._seconds, answer, narrowed=True)
        return _page(self._answer, kwargs["cursor"], kwargs["limit"])

    def _pass_on(
        self, instance: DagsterInstance, why: str, ask: Callable[..., Sequence[DagsterRun]], args: Any, kwargs: Any
    ) -> Sequence[DagsterRun]:
        """Let the daemon read the queue. Tag limits see only runs with their tag, so all are tagged first."""
        self._tell(instance, why)
        self._ticks.tag_untagged(instance)
        return ask(*args, **kwargs)

    @contextmanager
    def _measured(self) -> Iterator[None]:
        """Add the elapsed time to this package's part of the tick."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += time.perf_counter() - began

    def _notice_silence(self, instance: DagsterInstance) -> None:
        """Notice when the daemon didn't ask in the last ticks, although nothing failed that is known."""
        if self._expected:
            self._silent_ticks += 1
            if self._silent_ticks >= SILENT_TICKS:
                self._tell(instance, f"it doesn't ask the instance for {self._expected}")

    def _tell(self, instance: DagsterInstance, why: str) -> None:
        self._ticks.record(instance, self._seconds, narrowed=False)
        if self._told != why:
            self._told = why
            self._log.error(
                "Dagster's daemon reads its whole queue, because %s. The limits of code locations and pauses are"
                " applied as tag limits. Shares, minimums, the limits of groups, max_per_job, max_per_backfill and"
                " backfill_share are not applied, and runs that wait for a pool can leave slots idle. Update"
                " dagster-clt-queued-run-coordinator to a version that supports this Dagster.",
                why,
            )


def _page(runs: Sequence[DagsterRun], cursor: str | None, limit: int) -> list[DagsterRun]:
    """One page of the answer: at most `limit` runs that follow the run named by the cursor."""
    start = 0
    if cursor:
        start = next((place for place, run in enumerate(runs, 1) if run.run_id == cursor), len(runs))
    return list(runs[start : start + limit])
