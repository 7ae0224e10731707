"""Everything of Dagster that is private or has moved, in one place; checked on 1.10, 1.11, 1.12 and 1.13."""

import sys
from typing import cast

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, QueuedRunCoordinator, RunRecord, RunsFilter
from dagster._config import resolve_to_config_type, validate_config
from dagster._config.errors import EvaluationError
from dagster._core.instance.ref import InstanceRef
from dagster._core.run_coordinator.base import RunCoordinator, SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._core.storage import dagster_run as _dagster_run
from dagster._core.storage.runs.schema import KeyValueStoreTable, RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._serdes import ConfigurableClassData, deserialize_value, serialize_value

__all__ = [
    "IN_PROGRESS_STATUSES",
    "ConfigurableClassData",
    "DagsterInstance",
    "DagsterRun",
    "DagsterRunStatus",
    "EvaluationError",
    "InstanceRef",
    "KeyValueStoreTable",
    "QueuedRunCoordinator",
    "RunCoordinator",
    "RunQueueConfig",
    "RunRecord",
    "RunTagsTable",
    "RunsFilter",
    "RunsTable",
    "SubmitRunContext",
    "daemon_begins_a_tick",
    "deserialize_value",
    "instance_concurrency_settings",
    "resolve_to_config_type",
    "run_database",
    "serialize_value",
    "validate_config",
]

IN_PROGRESS_STATUSES: list[DagsterRunStatus] = list(
    # What the daemon counts as holding a slot: ACTIVE_RUN_STATUSES from 1.13 on, where the older constant
    # came to hold SUSPENDED as well; IN_PROGRESS_RUN_STATUSES before.
    getattr(_dagster_run, "ACTIVE_RUN_STATUSES", _dagster_run.IN_PROGRESS_RUN_STATUSES)
)

_DAEMON_MODULE = "dagster._daemon.run_coordinator.queued_run_coordinator_daemon"


def daemon_begins_a_tick() -> bool:
    """Whether the queue's daemon is asking for the configuration right now, at the begin of a tick.

    Dagster tells a coordinator neither who asks `get_run_queue_config` nor when a tick begins. The daemon
    asks in `QueuedRunCoordinatorDaemon.run_iteration`; its pool code asks again for each page from
    `_get_runs_to_dequeue`, and webservers and run workers ask without any function of that module. So the
    nearest caller out of that module tells: true for `run_iteration`, false for all else. A Dagster version
    that moves it gets limits as before, but neither shares nor spared scans; a test on each supported version
    watches over it.
    """
    frame = sys._getframe(1)  # noqa: SLF001 - the only way to know the caller, see above
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_globals.get("__name__") == _DAEMON_MODULE:
            return frame.f_code.co_name == "run_iteration"
    return False


def run_database(instance: DagsterInstance) -> SqlRunStorage:
    """The run storage as what every one that Dagster ships is: SQL through `connect()`."""
    return cast("SqlRunStorage", instance.run_storage)


def instance_concurrency_settings(instance: DagsterInstance) -> dict[str, object]:
    """`concurrency.runs` of the instance, which replaces a coordinator's own limits without a word."""
    settings = instance.get_settings("concurrency") or {}
    return dict(settings.get("runs") or {})
