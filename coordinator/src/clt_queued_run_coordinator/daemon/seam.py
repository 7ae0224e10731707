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
from clt_queued_run_coordinator.daemon.tick import Tick
from clt_queued_run_coordinator.daemon.tick_handler import TickHandler

SILENT_TICKS = 3
"""After this many consecutive ticks in which the daemon did not ask for the queue, it must be reading it in
another way. One or two such ticks may have failed because of the database."""

_QUEUED = RunsFilter(statuses=[DagsterRunStatus.QUEUED])


class DaemonSeam:
    """Answers the daemon of one instance.

    Args:
        ticks: Decides which runs may start.
        log: Receives a warning if the daemon reads the queue in another way.
        narrowed: Whether to show the daemon only the runs that may start. Otherwise it reads the whole queue.
    """

    def __init__(self, ticks: TickHandler, log: logging.Logger, *, narrowed: bool) -> None:
        self._ticks = ticks
        self._log = log
        self._narrowed = narrowed
        self._fits = True
        self._silent_ticks = 0
        self._tick: Tick | None = None
        self._answer: list[DagsterRun] | None = None
        self._seconds = 0.0

    def begin_tick(self, instance: DagsterInstance) -> list[dict[str, Any]]:
        """Begin a tick; returns the tag limits for the daemon."""
        self._seconds = 0.0
        with self._measured():
            return self._begin_tick(instance)

    def _begin_tick(self, instance: DagsterInstance) -> list[dict[str, Any]]:
        self._notice_silence()
        self._tick = self._answer = None
        tick = self._ticks.begin(instance)
        self._listen_to(instance)
        if not self._narrowed or not tick.has_limits:
            self._ticks.enforce_by_tag_limits(instance, tick)
            return tick.tag_limits
        if self._fits:
            self._ticks.tag_untagged(instance)
        else:
            self._ticks.enforce_by_tag_limits(instance, tick)
        self._tick = tick
        return tick.tag_limits

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
        with self._measured():
            self._ticks.update_outcomes(instance, records, self._tick if self._fits else None)
            if self._tick and self._fits:
                self._ticks.observe_in_progress(self._tick, records)
                if self._tick.slots == 0:  # the daemon won't read the queue
                    self._tick, self._silent_ticks = None, 0
            if self._tick and self._fits:
                return records  # the outcomes are stored together with the offered runs
            self._ticks.store_outcomes(instance)
        self._ticks.record_tick(instance, self._seconds)
        return records

    def _queued_runs(
        self, instance: DagsterInstance, ask: Callable[..., Sequence[DagsterRun]], *args: Any, **kwargs: Any
    ) -> Sequence[DagsterRun]:
        """Answer the daemon's reading of the queue."""
        if self._tick is None or daemon_step() != "_get_runs_to_dequeue":
            return ask(*args, **kwargs)
        self._silent_ticks = 0
        fits = args == (_QUEUED,) and kwargs.keys() == {"cursor", "limit", "ascending"} and kwargs["ascending"]
        if not fits or self._tick.in_progress is None:
            self._does_not_fit("it asks for the queue in a way that this package doesn't know")
        elif not self._fits:
            self._fits = True  # from the next tick on; this one has begun with the whole queue
        elif self._answer is None:
            try:
                with self._measured():
                    self._answer = self._ticks.runs_to_dequeue(instance, self._tick)
                self._ticks.record_tick(instance, self._seconds)
            except IncompatibleDagsterError as error:
                self._does_not_fit(str(error))
        if self._answer is None:
            self._tick = None
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

    def _notice_silence(self) -> None:
        """Notice when the daemon didn't ask for the queue in the last ticks."""
        if self._tick is not None and self._answer is None:
            self._silent_ticks += 1
            if self._silent_ticks >= SILENT_TICKS:
                self._does_not_fit("it doesn't ask the instance for the queue")

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
