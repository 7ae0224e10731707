"""The code location that a run comes from, and the key of the tag that names it."""

from clt_queued_run_coordinator._dagster import DagsterRun

CLT_TAG_KEY = "code_location"
"""The key of the tag on every queued run. The value is the name of the run's code location."""


def code_location_of(run: DagsterRun | None) -> str | None:
    """The name of the code location that a run was created from; None if the run has no origin."""
    origin = run.remote_job_origin if run else None
    return origin.location_name if origin else None
