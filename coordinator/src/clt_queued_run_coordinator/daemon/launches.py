"""Launches that hang. Dagster's tick waits for its slowest launch, and with it every code location.

A launch that takes long goes on in a thread of its own, and the tick does without it. Its run is starting and
keeps its slot, so nobody launches it again. If it fails in the end, the run fails, as Dagster has it.
"""

import contextvars
import logging
from concurrent.futures import Future, wait
from threading import Thread
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterInstance, DagsterRunStatus

LAUNCH_SECONDS = 25.0
"""How long a tick waits for a launch."""


def launch(instance: DagsterInstance, ask: Any, context: Any, log: logging.Logger) -> None:
    """Launch a run, and wait for it a while.

    Args:
        instance: The daemon's instance.
        ask: The run launcher's own `launch_run`.
        context: What it gets: the run, and its workspace.
        log: Where a launch that takes longer is told of.
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
    log.warning(
        "The launch of run %s takes longer than %g s. The daemon goes on without it; the run keeps its slot.",
        run_id,
        LAUNCH_SECONDS,
    )

    def tell(_: "Future[None]") -> None:
        error = launched.exception()
        if error is None:
            log.info("Run %s is launched, which took long.", run_id)
            return
        stored = instance.get_run_by_id(run_id)
        log.error("The launch of run %s failed (%s: %s).", run_id, type(error).__name__, error)
        if stored and stored.status is DagsterRunStatus.STARTING:
            instance.report_run_failed(
                stored, f"Its launch took long and failed ({type(error).__name__}: {error})."
            )

    launched.add_done_callback(tell)
    return None
