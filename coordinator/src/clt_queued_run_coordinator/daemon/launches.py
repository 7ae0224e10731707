"""Launches that hang. Dagster's tick waits for its slowest launch, and with it every code location.

A launch that takes long goes on in a thread of its own, and the tick does without it. Its run is starting and
keeps its slot, so nobody launches it again. If it fails in the end, the run fails: it may have been launched all
the same. Until then its code location's other runs stay queued, so many launches that hang hold a tick up no
longer than one.
"""

import contextvars
import logging
import time
from concurrent.futures import Future, wait
from functools import partial
from threading import Thread
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterInstance, DagsterRunStatus
from clt_queued_run_coordinator.config.tag import code_location_of

LAUNCH_SECONDS = 25.0
"""How long a tick waits for a launch."""

HELD_SECONDS = 300.0
"""How long a launch without an end holds its code location's other runs; then one of them is tried."""


class Launches:
    """The daemon's launches."""

    def __init__(self, log: logging.Logger) -> None:
        """`log` is where a launch that takes long is told of."""
        self._log = log
        self._hanging: dict[str, tuple[str | None, float]] = {}
        """The code location of each launch that hangs, and since when by the monotonic clock; by the run's id."""

    def hanging(self) -> dict[str, str]:
        """The code locations, whose other runs would hang as well, by the ids of the runs whose launch hangs."""
        since = time.monotonic() - HELD_SECONDS
        return {run: of for run, (of, began) in self._hanging.copy().items() if of and began > since}

    def launch(self, instance: DagsterInstance, ask: Any, context: Any) -> None:
        """Launch a run, and wait for it a while.

        Args:
            instance: The daemon's instance.
            ask: The run launcher's own `launch_run`.
            context: What it gets: the run, and its workspace.
        """
        launched: Future[None] = Future()

        def run() -> None:
            try:
                launched.set_result(ask(context))
            except BaseException as error:  # noqa: BLE001 - it is raised where the launch is waited for
                launched.set_exception(error)

        Thread(target=contextvars.copy_context().run, args=[run], name="launch", daemon=True).start()
        if wait([launched], LAUNCH_SECONDS).done:
            return launched.result()
        run_id = context.dagster_run.run_id
        self._hanging[run_id] = code_location_of(context.dagster_run), time.monotonic()
        self._log.warning(
            "The launch of run %s takes longer than %g s. The daemon goes on without it; the run keeps its slot,"
            " and until its launch has ended no other run of its code location starts.",
            run_id,
            LAUNCH_SECONDS,
        )
        launched.add_done_callback(partial(self._tell, instance, run_id))
        return None

    def _tell(self, instance: DagsterInstance, run_id: str, launched: "Future[None]") -> None:
        del self._hanging[run_id]
        error = launched.exception()
        if error is None:
            self._log.info("Run %s is launched, which took long.", run_id)
            return
        stored = instance.get_run_by_id(run_id)
        self._log.error("The launch of run %s failed (%s: %s).", run_id, type(error).__name__, error)
        if stored and stored.status is DagsterRunStatus.STARTING:
            instance.report_run_failed(
                stored, f"Its launch took long and failed ({type(error).__name__}: {error})."
            )
