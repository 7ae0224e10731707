"""The one seam to Dagster's daemon. Of the two reads in a tick, one is observed and the other one is answered.

The daemon reads the queue through the instance that it shares with the coordinator, page by page:
`instance.get_runs(RunsFilter(statuses=[QUEUED]), cursor=..., limit=..., ascending=True)`. From the daemon's first
tick on, this call is answered with the runs that may start. Only that one instance object is affected, and every
other call on it goes through unchanged. Since only the daemon begins ticks, nothing changes in any other process.

Each tick stands for itself. If the daemon asks in a way that isn't known, it gets Dagster's own queue in this
tick, and the limits in force as plain tag limits, which it got at the tick's begin in any case.

A daemon that doesn't hold the lease is shown an empty queue. One that holds it starts only what its current tick
has chosen: what Dagster still has in hand from a tick that failed stays queued, and so does the rest of a tick
amid which another daemon took the lease.
"""

import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from clt_queued_run_coordinator._dagster import (
    IN_PROGRESS_STATUSES,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    IncompatibleDagsterError,
    RunRecord,
    RunsFilter,
    daemon_step,
    raise_interrupts_as,
    run_database,
)
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.config.tag import code_location_of
from clt_queued_run_coordinator.daemon import lease
from clt_queued_run_coordinator.daemon.connections import keep_connections
from clt_queued_run_coordinator.daemon.launches import Launches
from clt_queued_run_coordinator.daemon.lease import Lease
from clt_queued_run_coordinator.daemon.readers import Presence
from clt_queued_run_coordinator.daemon.tick import Ticks

SILENT_TICKS = 3
"""After this many consecutive ticks in which the daemon went on without asking, it must be reading in another way.
That is only told; it changes nothing of how a tick works."""

CHOSEN_KEPT = 100_000
"""The most runs that were chosen and have not started that are remembered. Beyond that they are forgotten."""

_QUEUED = RunsFilter(statuses=[DagsterRunStatus.QUEUED])
_IN_PROGRESS = RunsFilter(statuses=IN_PROGRESS_STATUSES)


class DaemonSeam:
    """Answers the daemon of one instance."""

    def __init__(self, settings: Settings, interval: float, log: logging.Logger) -> None:
        """`interval` is the time between two ticks, in seconds."""
        self._settings = settings
        self._log = log
        self._lease = Lease(interval, log)
        self._launches = Launches(log)
        self._presence = Presence()
        self._ticks = Ticks(settings, log)
        self._expected = ""
        self._silent_ticks = 0
        self._told: str | None = None
        self._answer: list[DagsterRun] | None = None
        self._chosen: dict[str, str | None] = {}
        """The tick that has chosen a run last, by the run's id, until it starts."""
        self._seconds = 0.0

    def wait_to_lead(self, instance: DagsterInstance) -> None:
        """Wait until no other daemon holds the lease, and end the process should one take it later.

        Called by the daemon's process before it starts any of Dagster's daemons.
        """
        told = None
        while True:
            try:
                with run_database(instance).connect() as connection:
                    self._lease.take(instance, connection)
                    leader = lease.read(connection)
                if self._lease.tick:
                    break
                line = f"This daemon is the standby: {leader.process if leader else 'another one'} dequeues."
            except Exception as error:  # noqa: BLE001 - Dagster's storages raise errors of their own too
                line = f"This daemon waits for the database ({type(error).__name__})."
            if line != told:
                told = line
                self._log.warning(line)  # the daemon shows lower levels only later
            with raise_interrupts_as(KeyboardInterrupt):
                time.sleep(lease.STANDBY_SECONDS)
        self._lease.ends_process = True
        if told:
            self._log.warning("This daemon dequeues now, and runs schedules and sensors.")

    def close(self) -> None:
        """Let another daemon dequeue at once, because this one ends."""
        self._lease.give_up()

    def begin_tick(self, instance: DagsterInstance) -> list[dict[str, Any]]:
        """Begin a tick; returns the tag limits for the daemon."""
        self._lease.show_life()  # also where the database is away: such a tick fails, it doesn't hang
        keep_connections(instance, self._settings.code_location_limits.daemon_connections)
        if self._lease.tick:
            self._notice_silence(instance)
        self._seconds, self._answer, self._expected = 0.0, None, ""
        with self._measured():
            with run_database(instance).connect() as connection:
                # What the daemon chose by itself isn't known.
                may_be_left = bool(self._chosen or self._told)
                is_continued = self._lease.take(instance, connection, anew=may_be_left)
                if len(self._chosen) > CHOSEN_KEPT:
                    self._chosen.clear()
                if self._lease.tick and not is_continued:  # another daemon may have changed what is remembered
                    self._ticks = Ticks(self._settings, self._log)
                self._presence.tell(connection)
            self._listen_to(instance)
            if not self._lease.tick:
                self._answer = []
                return self._ticks.tag_limits
            self._ticks.hanging = self._launches.hanging()
            self._ticks.begin(instance)
        self._expected = "the runs in progress"
        return self._ticks.tag_limits

    def _listen_to(self, instance: DagsterInstance) -> None:
        answers: dict[tuple[object, str], Callable[..., Any]] = {
            (instance, "get_runs"): self._queued_runs,
            (instance, "get_run_records"): self._runs_in_progress,
            (instance, "get_run_by_id"): self._run_to_start,
            (instance.run_storage, "handle_run_event"): self._event_of_a_run,
            (instance.run_launcher, "launch_run"): self._launch,
        }
        for (of, name), answer in answers.items():
            ask = getattr(of, name)
            if getattr(ask, "answered_by", None) is self:
                continue
            answering = functools.wraps(ask)(functools.partial(answer, instance, ask))
            answering.answered_by = self  # type: ignore[attr-defined]
            setattr(of, name, answering)

    def _run_to_start(
        self, _: DagsterInstance, ask: Callable[..., DagsterRun | None], *args: Any, **kwargs: Any
    ) -> DagsterRun | None:
        """Observe the daemon's last look at a run before it starts it. It passes over a run that isn't queued."""
        run = ask(*args, **kwargs)
        if run and run.status is DagsterRunStatus.QUEUED and daemon_step() == "_dequeue_run":
            is_in_time = self._lease.tick and self._chosen_by(run.run_id) == self._lease.tick
            if not is_in_time or code_location_of(run) in self._launches.hanging().values():
                return run.with_status(DagsterRunStatus.NOT_STARTED)
        return run

    def _event_of_a_run(
        self,
        instance: DagsterInstance,
        ask: Callable[..., None],
        run_id: str,
        event: DagsterEvent,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Let the daemon start a run only in the name of the tick that has chosen it."""
        if event.event_type is DagsterEventType.PIPELINE_STARTING and daemon_step() == "_dequeue_run":
            self._lease.start(instance, run_id, self._chosen_by(run_id))
            self._chosen.pop(run_id, None)
        ask(run_id, event, *args, **kwargs)

    def _launch(self, instance: DagsterInstance, ask: Callable[..., None], context: Any) -> None:
        """Let the daemon wait for a launch only for a while."""
        if daemon_step() == "_dequeue_run":
            self._launches.launch(instance, ask, context)
        else:
            ask(context)

    def _chosen_by(self, run_id: str) -> str | None:
        """The tick that has chosen a run: this one where the daemon has chosen it by itself."""
        return self._chosen.get(run_id, self._lease.tick)

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
        if self._ticks.state.free_slots == 0:  # the daemon reads the queue nevertheless while fewer runs hold them
            self._answer = []
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
            self._chosen.update(dict.fromkeys((run.run_id for run in answer), self._lease.tick))
            self._ticks.record(instance, self._seconds, answer, narrowed=True)
        return _page(self._answer, kwargs["cursor"], kwargs["limit"])

    def _pass_on(
        self, instance: DagsterInstance, why: str, ask: Callable[..., Sequence[DagsterRun]], args: Any, kwargs: Any
    ) -> Sequence[DagsterRun]:
        """Let the daemon read the queue. Tag limits see only runs with their tag, so all are tagged first."""
        self._tell(instance, why)
        self._chosen.clear()  # the daemon chooses by itself
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
                " backfill_share are not applied, and runs that wait for a pool can leave slots idle. %sUpdate"
                " dagster-clt-queued-run-coordinator to a version that supports this Dagster.",
                why,
                "Each run counts as one slot. " if self._ticks.state.settings.code_location_limits.slot else "",
            )


def _page(runs: Sequence[DagsterRun], cursor: str | None, limit: int) -> list[DagsterRun]:
    """One page of the answer: at most `limit` runs that follow the run named by the cursor."""
    start = 0
    if cursor:
        start = next((place for place, run in enumerate(runs, 1) if run.run_id == cursor), len(runs))
    return list(runs[start : start + limit])
