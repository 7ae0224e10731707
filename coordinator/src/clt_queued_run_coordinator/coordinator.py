"""The run coordinator that Dagster loads, named in `dagster.yaml` or in the Helm values."""

import logging

from dagster import DagsterInstance

from clt_queued_run_coordinator._dagster import DagsterRun, QueuedRunCoordinator, SubmitRunContext
from clt_queued_run_coordinator.tagging import CLT_TAG_KEY, missing_tag

__all__ = ["CLT_TAG_KEY", "CLTQueuedRunCoordinator", "CodeLocationTaggingQueuedRunCoordinator"]


class CLTQueuedRunCoordinator(QueuedRunCoordinator[DagsterInstance]):
    """Dagster's own queue, with each run tagged by its code location before it is queued."""

    _log = logging.getLogger("dagster.run_coordinator.clt_queued_run_coordinator")

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Tag the run with its code location, then queue it.

        Raises:
            RunWithoutCodeLocationError: The run has no code location origin.
        """
        run = context.dagster_run
        tag = missing_tag(run, run.tags, self._log)
        if tag:
            # Through the own instance: DagsterInstance.get() would open another one for each submit.
            self._instance.add_run_tags(run.run_id, tag)
        return super().submit_run(context)


CodeLocationTaggingQueuedRunCoordinator = CLTQueuedRunCoordinator
"""The same class under the name that says what it does."""
