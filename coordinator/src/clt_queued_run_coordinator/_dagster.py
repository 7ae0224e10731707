"""Everything of Dagster that is private or has moved, in one place; checked on 1.10, 1.11, 1.12 and 1.13."""

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, QueuedRunCoordinator
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._serdes import ConfigurableClassData

__all__ = [
    "ConfigurableClassData",
    "DagsterInstance",
    "DagsterRun",
    "DagsterRunStatus",
    "QueuedRunCoordinator",
    "RunQueueConfig",
    "SubmitRunContext",
]
