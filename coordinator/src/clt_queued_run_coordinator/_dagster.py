"""The one place that imports Dagster's private or moved names; checked on Dagster 1.10, 1.11, 1.12 and 1.13.

What is imported here is for the other modules too.
"""

# mypy: implicit-reexport
# ruff: noqa: F401

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import sqlalchemy as db
from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    QueuedRunCoordinator,
    RunRecord,
    RunsFilter,
)
from dagster._core.instance.ref import InstanceRef
from dagster._core.op_concurrency_limits_counter import GlobalOpConcurrencyLimitsCounter
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._core.storage import dagster_run as _dagster_run
from dagster._core.storage.dagster_run import RunOpConcurrency
from dagster._core.storage.runs.schema import BulkActionsTable, KeyValueStoreTable, RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.tags import (
    AUTO_MATERIALIZE_TAG,
    AUTO_OBSERVE_TAG,
    AUTOMATION_CONDITION_TAG,
    BACKFILL_ID_TAG,
    PRIORITY_TAG,
    REPOSITORY_LABEL_TAG,
    RETRY_NUMBER_TAG,
    SCHEDULE_NAME_TAG,
    SENSOR_NAME_TAG,
)
from dagster._serdes import ConfigurableClassData, deserialize_value, serialize_value
from dagster._utils.interrupts import raise_interrupts_as
from dagster._utils.schedules import cron_string_iterator, is_valid_cron_string
from dagster._utils.tags import TagConcurrencyLimitsCounter

IN_PROGRESS_STATUSES: list[DagsterRunStatus] = list(
    # The statuses that the daemon counts as in progress: IN_PROGRESS_RUN_STATUSES before 1.13. From 1.13 on that
    # constant includes SUSPENDED, and the daemon counts ACTIVE_RUN_STATUSES instead.
    getattr(_dagster_run, "ACTIVE_RUN_STATUSES", _dagster_run.IN_PROGRESS_RUN_STATUSES)
)


LAUNCHED_BY_TAGS = (
    SCHEDULE_NAME_TAG,
    SENSOR_NAME_TAG,
    AUTO_MATERIALIZE_TAG,
    AUTOMATION_CONDITION_TAG,
    AUTO_OBSERVE_TAG,
)
"""The tags on runs that schedules, sensors and automation launch. Re-executions keep them."""


class IncompatibleDagsterError(Exception):
    """The installed Dagster works differently from the versions this package knows; the message says how."""


QUEUE_DAEMON = "QUEUED_RUN_COORDINATOR"
"""The type of the daemon that dequeues runs, as its heartbeats name it. Importing its module takes a while."""

_DAEMON_MODULE = "dagster._daemon.run_coordinator.queued_run_coordinator_daemon"


def daemon_step() -> str | None:
    """The function of the run queue daemon that is calling right now; None for any other caller.

    Dagster passes neither a coordinator nor an instance any information about the caller, so the call stack is
    searched for the nearest function of the daemon's module. `run_iteration` asks for the configuration at the
    beginning of a tick. `_get_in_progress_run_records` reads the runs in progress. `_get_runs_to_dequeue` reads
    the queue and, through the code for pools, asks for the configuration again.
    """
    return _calling(_DAEMON_MODULE)


def is_daemon_starting() -> bool:
    """Whether the process of Dagster's daemons is asking right now, before it starts the first of them."""
    return _calling("dagster._daemon.controller") == "create_daemon_of_type"


def _calling(module: str) -> str | None:
    """The nearest function of a module among the callers."""
    frame = sys._getframe(1)  # noqa: SLF001 - the only way to know the caller, see `daemon_step`
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_globals.get("__name__") == module:
            return frame.f_code.co_name
    return None


def run_database(instance: DagsterInstance) -> SqlRunStorage:
    """The instance's run storage. All of those that Dagster ships are SQL storages with `connect()`."""
    return cast("SqlRunStorage", instance.run_storage)


def replace_engines(instance: DagsterInstance, replace: Callable[[db.engine.Engine], db.engine.Engine]) -> None:
    """Let each SQL storage of an instance connect through the engine that takes the place of its own."""
    for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
        engine = getattr(storage, "_engine", None)
        if isinstance(engine, db.engine.Engine):
            storage._engine = replace(engine)  # type: ignore[union-attr]  # noqa: SLF001


def remember_columns(instance: DagsterInstance) -> None:
    """Let an instance ask its database only once which columns the table of runs has.

    Dagster asks each time that it reads or writes a run, with three statements on PostgreSQL: more than half of
    those of a start. Columns are never taken away. One that is missing is asked for until a migration has added
    it.
    """
    storage: Any = instance.run_storage
    for name in ("has_run_stats_index_cols", "has_backfill_id_column"):
        if hasattr(storage, name):
            setattr(storage, name, _asked_until_true(getattr(storage, name)))


def _asked_until_true(ask: Callable[[], bool]) -> Callable[[], bool]:
    known = False

    def answer() -> bool:
        nonlocal known
        known = known or ask()
        return known

    return answer


def instance_concurrency_settings(instance: DagsterInstance) -> dict[str, object]:
    """The instance's `concurrency.runs`, whose keys silently replace a coordinator's own limits."""
    settings = instance.get_settings("concurrency") or {}
    return dict(settings.get("runs") or {})


def new_pool_counter(
    instance: DagsterInstance, runs: Sequence[DagsterRun], in_progress: Sequence[RunRecord]
) -> GlobalOpConcurrencyLimitsCounter:
    """The daemon's own counter of free slots in pools, created as the daemon creates it.

    The runs together need every pool that the counter should know.

    Raises:
        IncompatibleDagsterError: The installed Dagster's counter takes other arguments.
    """
    config = instance.get_concurrency_config()
    queue = config.run_queue_config
    arguments: dict[str, Any] = {
        "slot_count_offset": queue.op_concurrency_slot_buffer if queue else 0,
        "pool_granularity": config.pool_config.pool_granularity,
    }
    storage = instance.event_log_storage
    parameters = inspect.signature(GlobalOpConcurrencyLimitsCounter).parameters
    if "concurrency_keys" in parameters:  # from 1.11 on
        # The counter gives a pool that was never used its default number of slots, but only after this reading.
        needed = (
            {pool for run in runs for pool in pools_of(run)}
            if instance.global_op_concurrency_default_limit
            else ()
        )
        arguments["concurrency_keys"] = {*storage.get_concurrency_keys(), *needed}
        arguments["pool_limits"] = storage.get_pool_limits()
    if not parameters.keys() >= {"instance", "runs", "in_progress_run_records", *arguments}:
        raise IncompatibleDagsterError("its counter of pools takes other arguments")
    return GlobalOpConcurrencyLimitsCounter(instance, runs, in_progress, **arguments)


def pools_of(run: DagsterRun) -> set[str]:
    """The pools that a run's ops need."""
    needs = run.run_op_concurrency
    return {*needs.root_key_counts, *(needs.all_pools or ())} if needs else set()


def with_read_only_pools(instance: DagsterInstance, more_slots: Mapping[str, int] | None) -> DagsterInstance:
    """The instance for a pool counter that must not write.

    The counter initializes each pool that was never used to its default number of slots. With this instance such a
    pool only seems to have them. Each pool also seems to have as many more slots as `more_slots` says.
    """
    default = instance.global_op_concurrency_default_limit
    pools = _ReadOnlyPools(instance.event_log_storage, default, more_slots or {})
    return cast("DagsterInstance", _Instead(instance, event_log_storage=pools))


class _Instead:
    """An object with some attributes in place of its own."""

    def __init__(self, of: Any, **attributes: Any) -> None:
        self._of = of
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


class _ReadOnlyPools(_Instead):
    def __init__(self, storage: Any, default: int | None, more_slots: Mapping[str, int]) -> None:
        super().__init__(storage)
        self._default = default
        self._more_slots = more_slots
        self._initialized: set[str] = set()

    def initialize_concurrency_limit_to_default(self, pool: str) -> bool:
        self._initialized.add(pool)
        return True

    def get_concurrency_keys(self) -> set[str]:
        stored: set[str] = self._of.get_concurrency_keys()
        return stored - self._initialized if self._default is None else stored | self._initialized

    def get_concurrency_infos(self, pools: Sequence[str]) -> dict[str, Any]:
        return {pool: self.get_concurrency_info(pool) for pool in pools}

    def get_concurrency_info(self, pool: str) -> Any:
        stored = self._of.get_concurrency_info(pool)
        slots = (self._default or 0) if pool in self._initialized else stored.slot_count
        return _Instead(stored, slot_count=slots + self._more_slots.get(pool, 0))


def restricted_to_pool(run: DagsterRun, pool: str) -> DagsterRun:
    """The run as if it needed only one of its pools, to ask the pool counter about that one."""
    needs = run.run_op_concurrency
    slots = (needs.root_key_counts.get(pool, 1) if needs else 1) or 1
    return run._replace(
        run_op_concurrency=RunOpConcurrency(
            root_key_counts={pool: slots}, has_unconstrained_root_nodes=False, all_pools={pool}
        )
    )
