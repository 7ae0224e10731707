"""The one seam to Dagster's daemon. Of the two reads in a tick, one is observed and the other one is answered.

The daemon reads the queue through the instance that it shares with the coordinator, page by page:
`instance.get_runs(RunsFilter(statuses=[QUEUED]), cursor=..., limit=..., ascending=True)`. From the daemon's first
tick on, this call is answered with the runs that may start. Only that one instance object is affected, and every
other call on it goes through unchanged. Since only the daemon begins ticks, nothing changes in any other process.
"""

import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from clt_queued_run_coordinator.daemon.tick_handler import TickHandler
from clt_queued_run_coordinator.policy.queue_state import QueueState

_QUEUED = RunsFilter(statuses=[DagsterRunStatus.QUEUED])


class DaemonSeam:
    """Answers the daemon of one instance.

    Args:
        ticks: Decides which runs may start.
        log: Receives a warning if the daemon reads the queue in another way.
    """

    def __init__(self, ticks: TickHandler, log: logging.Logger) -> None:
        self._ticks = ticks
        self._log = log
        self._fits = True
        self._state: QueueState | None = None
        self._tag_limits: list[dict[str, Any]] = []
        self._answer: list[DagsterRun] | None = None
        self._seconds = 0.0

    def begin_tick(self, instance: DagsterInstance) -> list[dict[str, Any]]:
        """Begin a tick; returns the tag limits for the daemon."""
        self._seconds = 0.0
        with self._measured():
            return self._begin_tick(instance)

    def _begin_tick(self, instance: DagsterInstance) -> list[dict[str, Any]]:
        self._state = self._answer = None
        state = self._ticks.begin(instance)
        self._listen_to(instance)
        self._ticks.tag_untagged(instance)
        self._tag_limits = state.tag_limits()
        self._state = state
        return self._tag_limits

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
        if daemon_step() != "_get_in_progress_run_records":
            return records
        state = self._state
        if state is None:
            return records
        with self._measured():
            state = self._ticks.update_outcomes(instance, records, state, narrowed=self._fits)
            if self._fits and state.has_limits:
                state = self._ticks.with_credit(instance, state)
                if state.free_slots != 0:
                    self._state = state
                    return records  # the outcomes are stored together with the offered runs
            self._state = None  # the daemon won't read the queue, or reads it itself
            self._ticks.store_outcomes(instance)
        self._ticks.record_tick(instance, self._seconds)
        return records

    def _queued_runs(
        self, instance: DagsterInstance, ask: Callable[..., Sequence[DagsterRun]], *args: Any, **kwargs: Any
    ) -> Sequence[DagsterRun]:
        """Answer the daemon's reading of the queue."""
        if self._state is None or daemon_step() != "_get_runs_to_dequeue":
            return ask(*args, **kwargs)
        fits = args == (_QUEUED,) and kwargs.keys() == {"cursor", "limit", "ascending"} and kwargs["ascending"]
        if not fits:
            self._does_not_fit("it asks for the queue in a way that this package doesn't know")
        elif self._answer is None:
            try:
                with self._measured():
                    self._answer = self._ticks.runs_to_dequeue(instance, self._state, self._tag_limits)
                self._ticks.record_tick(instance, self._seconds)
            except IncompatibleDagsterError as error:
                self._does_not_fit(str(error))
        if self._answer is None:
            self._state = None
            return ask(*args, **kwargs)
        return _page(self._answer, kwargs["cursor"], kwargs["limit"])

    @contextmanager
    def _measured(self) -> Iterator[None]:
        """Add the elapsed time to this package's part of the tick."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += time.perf_counter() - began

    def _does_not_fit(self, why: str) -> None:
        if self._fits:
            self._fits = False
            self._log.warning(
                "Dagster's daemon reads its whole queue, because %s. Limits, pauses and shares are applied as tag"
                " limits; max_per_job, max_per_backfill and backfill_share are not applied. Ticks take longer with"
                " a long queue, and runs that wait for a pool can leave slots idle. Update"
                " dagster-clt-queued-run-coordinator to a version that supports this Dagster.",
                why,
            )


def _page(runs: Sequence[DagsterRun], cursor: str | None, limit: int) -> list[DagsterRun]:
    """One page of the answer: at most `limit` runs that follow the run named by the cursor."""
    start = 0
    if cursor:
        start = next((place for place, run in enumerate(runs, 1) if run.run_id == cursor), len(runs))
    return list(runs[start : start + limit])
