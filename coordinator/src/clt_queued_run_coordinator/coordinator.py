"""The run coordinator that Dagster loads; `dagster.yaml` or the Helm values name it."""

import logging
from collections.abc import Mapping
from typing import Any, cast

from dagster import DagsterInstance
from typing_extensions import Self

from clt_queued_run_coordinator._dagster import (
    ConfigurableClassData,
    DagsterRun,
    DagsterRunStatus,
    QueuedRunCoordinator,
    RunQueueConfig,
    SubmitRunContext,
    daemon_step,
    instance_concurrency_settings,
)
from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.config.minimums import refuse_minimums_above_total
from clt_queued_run_coordinator.config.options import OPTION, CodeLocationLimits
from clt_queued_run_coordinator.config.parsing import parse
from clt_queued_run_coordinator.config.schema import schema
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY
from clt_queued_run_coordinator.daemon.seam import DaemonSeam
from clt_queued_run_coordinator.daemon.tick_handler import TickHandler
from clt_queued_run_coordinator.lazy_tag_limits import LazyTagLimits
from clt_queued_run_coordinator.operate import now
from clt_queued_run_coordinator.registration import Registration
from clt_queued_run_coordinator.store.code_location import code_location_of, missing_tag
from clt_queued_run_coordinator.store.tag_writing import write_tags
from clt_queued_run_coordinator.submit.max_queued import QueueLimiter
from clt_queued_run_coordinator.text.safe import SafeMessages

__all__ = ["CLT_TAG_KEY", "CLTQueuedRunCoordinator", "CodeLocationTaggingQueuedRunCoordinator"]


class CLTQueuedRunCoordinator(QueuedRunCoordinator[DagsterInstance]):
    """Dagster's queued run coordinator, with limits on the runs in progress of each code location.

    It accepts every option of Dagster's `QueuedRunCoordinator`, and `code_location_limits`. Each run is tagged
    with its code location when it is submitted.

    Args:
        code_location_limits: The limits; see `limits.schema`.
        inst_data: Where Dagster found the configuration.
        options: The options of `QueuedRunCoordinator`.

    Raises:
        ConfigurationError: A value of `code_location_limits` can't be applied.
    """

    _log = logging.getLogger("dagster.run_coordinator.clt_queued_run_coordinator")
    _log.addFilter(SafeMessages())

    def __init__(
        self,
        code_location_limits: Mapping[str, Any] | None = None,
        inst_data: ConfigurableClassData | None = None,
        **options: Any,
    ) -> None:
        super().__init__(inst_data=inst_data, **options)
        limits = parse(code_location_limits)
        own = super().get_run_queue_config()
        self.settings = Settings(
            max_concurrent_runs=own.max_concurrent_runs,
            code_location_limits=limits or CodeLocationLimits(),
            tag_concurrency_limits=own.tag_concurrency_limits,
        )
        self.is_limiting = limits is not None
        self._registration = Registration()
        self._queue_limiter = QueueLimiter(self._log)
        self._daemon_seam = DaemonSeam(TickHandler(self.settings, self._log), self._log)
        self.own_max_concurrent_runs: int | None = options.get("max_concurrent_runs")
        """The configured `max_concurrent_runs`; None if it is left out for the instance's `concurrency.runs`."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The options of the installed Dagster version, and `code_location_limits`."""
        own = cast("dict[str, Any]", super().config_type())
        return {**own, OPTION: schema()}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Create the coordinator; Dagster calls this with the configuration that it has checked."""
        return cls(inst_data=inst_data, **config_value)

    def register_instance(self, instance: DagsterInstance) -> None:
        """Check that the instance fits this coordinator, and register it.

        Raises:
            ConfigurationError: The instance's own tag limits would silently replace `code_location_limits`, its
                run storage isn't supported, or the minimums add up to more than `max_concurrent_runs`.
        """
        with self._registration.running():
            try:
                refuse_unsupported_storage(instance.run_storage)
                refuse_unfit_limits(self, instance_concurrency_settings(instance))
            except ConfigurationError:
                # Dagster stores the coordinator before it registers it. Left there, the next launch would take it.
                instance._run_coordinator = None  # type: ignore[assignment]  # noqa: SLF001
                raise
            super().register_instance(instance)

    @property
    def _instance(self) -> DagsterInstance:
        self._registration.wait()
        return super()._instance

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Tag the run with its code location, then queue it.

        Raises:
            ConfigurationError: The coordinator has refused the instance.
            RunWithoutCodeLocationError: The run has no code location origin.
            QueueFullError: Its code location has `max_queued` runs queued already.
            SubmitLockError: Other submits to its code location did not finish in time.
        """
        run = context.dagster_run
        tag = missing_tag(run, run.tags, self._log)
        tags = {run.run_id: tag[CLT_TAG_KEY]} if tag else {}
        code_location = code_location_of(run) or ""
        max_queued = self.settings.code_location_limits.entry(code_location).max_queued
        if max_queued is None or run.status is not DagsterRunStatus.NOT_STARTED:
            # Not DagsterInstance.get(), which would open another instance for each submit.
            write_tags(self._instance, tags)
            return super().submit_run(context)
        with self._queue_limiter.reserved_room(self._instance, run.run_id, code_location, max_queued, tags):
            return super().submit_run(context)

    def get_run_queue_config(self) -> RunQueueConfig:
        """The configuration of the run queue, with the limits in force as tag limits.

        The daemon asks for it at the beginning of each tick, so a tick begins here. For every other caller the
        limits are read only when somebody looks at them.
        """
        config = super().get_run_queue_config()
        if daemon_step() == "run_iteration":
            return config._replace(tag_concurrency_limits=self._daemon_seam.begin_tick(self._instance))
        return config._replace(tag_concurrency_limits=LazyTagLimits(self._limits_in_force))

    def _limits_in_force(self) -> list[dict[str, Any]]:
        return now.read(self._instance, self.settings).state.tag_limits(applied=False)


def refuse_unfit_limits(coordinator: CLTQueuedRunCoordinator, runs: Mapping[str, Any]) -> None:
    """Refuse limits that the instance would replace, and minimums that don't fit into `max_concurrent_runs`.

    Args:
        coordinator: The coordinator.
        runs: The instance's `concurrency.runs`.

    Raises:
        ConfigurationError: The instance's own tag limits would silently replace `code_location_limits`, or the
            minimums add up to more than `max_concurrent_runs`.
    """
    if coordinator.is_limiting and "tag_concurrency_limits" in runs:
        raise ConfigurationError(
            "The instance's concurrency.runs.tag_concurrency_limits replaces the coordinator's"
            f" {OPTION}, even if it is empty; remove the key, or move its entries to"
            " run_coordinator.config.tag_concurrency_limits."
        )
    settings = coordinator.settings.as_replaced_by(runs)
    of_instance = isinstance(runs.get("max_concurrent_runs"), int)
    refuse_minimums_above_total(
        settings.code_location_limits,
        settings.max_concurrent_runs,
        "the instance's concurrency.runs.max_concurrent_runs" if of_instance else "max_concurrent_runs",
    )


def refuse_unsupported_storage(run_storage: object) -> None:
    """Refuse a run storage that the limits can't work with.

    It is recognized by the names of its classes, so that no storage library has to be imported.

    Args:
        run_storage: The instance's run storage.

    Raises:
        ConfigurationError: It is MySQL's, or no SQL storage at all.
    """
    classes = type(run_storage).__mro__
    cure = "use PostgreSQL with dagster-postgres, or SQLite for a trial."
    if any(of.__module__.partition(".")[0] == "dagster_mysql" for of in classes):
        raise ConfigurationError(
            f"MySQL (dagster-mysql, the run storage {classes[0].__name__}) is not supported: its key-value store"
            " compares only the first 64 characters of a key, so live changes to code locations with long names"
            f" could overwrite each other, and this package isn't tested on it; {cure}"
        )
    if not any(of.__name__ == "SqlRunStorage" for of in classes):
        raise ConfigurationError(
            f"The run storage {classes[0].__module__}.{classes[0].__qualname__} is not supported: it is not a"
            " subclass of Dagster's SqlRunStorage, and the runs of each code location are counted with SQL;"
            f" {cure}"
        )


CodeLocationTaggingQueuedRunCoordinator = CLTQueuedRunCoordinator
"""The same class under its descriptive name."""
