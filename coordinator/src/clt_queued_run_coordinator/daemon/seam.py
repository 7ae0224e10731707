"""The one seam to Dagster's daemon: of its two reads in a tick one is listened to and one is answered.

The daemon reads the queue through the instance that it shares with the coordinator:
`instance.get_runs(RunsFilter(statuses=[QUEUED]), cursor=..., limit=..., ascending=True)`, page by page. On that
one object, from the daemon's first tick on, this call is answered with the runs that may start. Every other call
goes through as always; and since only the daemon begins ticks, nothing is changed in any other process.
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
"""After how many ticks in a row in which the daemon did not ask it is taken to read the queue in another way.
One or two may have failed over the database."""

_QUEUED = RunsFilter(statuses=[DagsterRunStatus.QUEUED])


class DaemonSeam:
    """Answers the daemon of one instance.

    Args:
        ticks: What says which runs may start.
        narrowed: Whether the daemon shall be shown these alone; else it reads the whole queue.
        log: Where it tells that the daemon reads the queue in another way.
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
        """Begin a tick of the daemon, and say which tag limits it is handed."""
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
        """The daemon's reading of the runs in progress, passed on."""
        records = ask(*args, **kwargs)
        if daemon_step() != "_get_in_progress_run_records":
            return records
        with self._measured():
            self._ticks.update_outcomes(instance, records, self._tick if self._fits else None)
            if self._tick and self._fits:
                self._ticks.observe_in_progress(self._tick, records)
                if self._tick.slots == 0:  # the daemon does not read the queue
                    self._tick, self._silent_ticks = None, 0
            if self._tick and self._fits:
                return records  # what was learnt is stored with the runs that are offered
            self._ticks.store_outcomes(instance)
        self._ticks.record_tick(instance, self._seconds)
        return records

    def _queued_runs(
        self, instance: DagsterInstance, ask: Callable[..., Sequence[DagsterRun]], *args: Any, **kwargs: Any
    ) -> Sequence[DagsterRun]:
        """The daemon's reading of the queue, answered."""
        if self._tick is None or daemon_step() != "_get_runs_to_dequeue":
            return ask(*args, **kwargs)
        self._silent_ticks = 0
        fits = args == (_QUEUED,) and kwargs.keys() == {"cursor", "limit", "ascending"} and kwargs["ascending"]
        if not fits or self._tick.in_progress is None:
            self._does_not_fit("it asks for other runs than those this package knows of")
        elif not self._fits:
            self._fits = True  # from the next tick on; this one has begun with Dagster's own reading
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
        """Add the time that this takes to what this package's part of the tick takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += time.perf_counter() - began

    def _notice_silence(self) -> None:
        """Notice where the last ticks went by without the daemon asking for the queue."""
        if self._tick is not None and self._answer is None:
            self._silent_ticks += 1
            if self._silent_ticks >= SILENT_TICKS:
                self._does_not_fit("it does not ask the instance for the queue")

    def _does_not_fit(self, why: str) -> None:
        if self._fits:
            self._fits = False
            self._log.warning(
                "Dagster's daemon reads its whole queue, because %s. Limits, pauses and shares hold as tag limits,"
                " max_per_job, max_per_backfill and backfill_share don't hold, a long queue takes longer, and runs"
                " that wait for a pool can leave slots idle. Update"
                " dagster-clt-queued-run-coordinator to a version that supports this Dagster.",
                why,
            )


def _page(runs: Sequence[DagsterRun], cursor: str | None, limit: int) -> list[DagsterRun]:
    """A page of the answer: at most `limit` runs behind the one that the cursor names."""
    start = 0
    if cursor:
        start = next((place for place, run in enumerate(runs, 1) if run.run_id == cursor), len(runs))
    return list(runs[start : start + limit])
