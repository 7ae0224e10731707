"""The tag that names the code location of a run."""

import logging
from collections.abc import Mapping

from clt_queued_run_coordinator._dagster import DagsterRun
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY


class RunWithoutCodeLocationError(Exception):
    """The run has no code location origin. It can't be tagged, so it must not be queued."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"Run {run_id} can't be queued: it has no code location origin, so it can't be tagged"
            f" {CLT_TAG_KEY!r}. Launch it through the webserver, the daemon or `dagster job launch`."
        )


def code_location_of(run: DagsterRun) -> str | None:
    """The name of the code location that a run was created from; None if the run has no origin."""
    origin = run.remote_job_origin
    return origin.location_name if origin else None


def missing_tag(run: DagsterRun, tags: Mapping[str, str], log: logging.Logger) -> dict[str, str]:
    """The tag to write to a run; empty if the run carries the right one.

    The run's origin decides. A different value can only come from a user, a run config or a parent run, and is
    overwritten with a warning. Otherwise users could move their runs out of a limit.

    Args:
        run: The run about to be queued.
        tags: The tags it carries.
        log: Receives a warning if a value is overwritten.

    Raises:
        RunWithoutCodeLocationError: The run has no code location origin.
    """
    code_location = code_location_of(run)
    if code_location is None:
        raise RunWithoutCodeLocationError(run.run_id)
    value = tags.get(CLT_TAG_KEY)
    if value == code_location:
        return {}
    if value is not None:
        log.warning(
            "Run %s carried the tag %s: %r but belongs to code location %r; the tag was overwritten.",
            run.run_id,
            CLT_TAG_KEY,
            value,
            code_location,
        )
    return {CLT_TAG_KEY: code_location}
