"""The run coordinator that Dagster loads, named in `dagster.yaml` or in the Helm values."""

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
from clt_queued_run_coordinator.daemon.seam import DaemonSeam
from clt_queued_run_coordinator.daemon.tick_handler import TickHandler
from clt_queued_run_coordinator.limits.configuration import (
    OPTION,
    CodeLocationLimits,
    ConfigurationError,
    QueueReading,
)
from clt_queued_run_coordinator.limits.in_force import effective_limits
from clt_queued_run_coordinator.limits.lazy_tag_limits import LazyTagLimits
from clt_queued_run_coordinator.limits.minimums import refuse_minimums_above_total
from clt_queued_run_coordinator.limits.parsing import parse
from clt_queued_run_coordinator.limits.schema import schema
from clt_queued_run_coordinator.limits.settings import Settings
from clt_queued_run_coordinator.limits.tag_limits import as_tag_limits
from clt_queued_run_coordinator.status import queue_state
from clt_queued_run_coordinator.submit.max_queued import QueueLimiter
from clt_queued_run_coordinator.tagging.code_location_tag import CLT_TAG_KEY, code_location_of, missing_tag
from clt_queued_run_coordinator.tagging.writing import write_tags

__all__ = ["CLT_TAG_KEY", "CLTQueuedRunCoordinator", "CodeLocationTaggingQueuedRunCoordinator"]


class CLTQueuedRunCoordinator(QueuedRunCoordinator[DagsterInstance]):
    """Dagster's own queue, with each run tagged by its code location and the runs of each one limited.

    Takes every option of Dagster's `QueuedRunCoordinator`, and `code_location_limits`.

    Args:
        code_location_limits: The limits; see `limits.schema`.
        inst_data: Where Dagster found the configuration.
        options: Those of `QueuedRunCoordinator`.

    Raises:
        ConfigurationError: A value of `code_location_limits` can't be applied.
    """

    _log = logging.getLogger("dagster.run_coordinator.clt_queued_run_coordinator")

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
        self._queue_limiter = QueueLimiter(self._log)
        reading = self.settings.code_location_limits.queue_reading
        self._daemon_seam = DaemonSeam(
            TickHandler(self.settings, self._log), self._log, narrowed=reading is QueueReading.NARROWED
        )
        self.own_max_concurrent_runs: int | None = options.get("max_concurrent_runs")
        """None where it is left out, to be given in `concurrency.runs` of the instance instead."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Dagster's own options, as this version of it has them, and ours."""
        own = cast("dict[str, Any]", super().config_type())
        return {**own, OPTION: schema()}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """What Dagster calls with the checked configuration."""
        return cls(inst_data=inst_data, **config_value)

    def register_instance(self, instance: DagsterInstance) -> None:
        """Take the instance that this coordinator belongs to.

        Raises:
            ConfigurationError: The instance's own tag limits would silently replace `code_location_limits`, or its
                run storage isn't supported, or the slots that are kept are more than there are.
        """
        try:
            refuse_unsupported_storage(instance.run_storage)
            refuse_unfit_limits(self, instance_concurrency_settings(instance))
        except ConfigurationError:
            # Dagster keeps a coordinator before it registers it: the second launch would get by.
            instance._run_coordinator = None  # type: ignore[assignment]  # noqa: SLF001
            raise
        super().register_instance(instance)

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Tag the run with its code location, then queue it.

        Raises:
            RunWithoutCodeLocationError: The run has no code location origin.
            QueueFullError: Its code location has as many runs queued as it may.
        """
        run = context.dagster_run
        tag = missing_tag(run, run.tags, self._log)
        tags = {run.run_id: tag[CLT_TAG_KEY]} if tag else {}
        code_location = code_location_of(run) or ""
        max_queued = self.settings.code_location_limits.entry(code_location).max_queued
        if max_queued is None or run.status is not DagsterRunStatus.NOT_STARTED:
            # Through the own instance: DagsterInstance.get() would open another one for each submit.
            write_tags(self._instance, tags)
            return super().submit_run(context)
        with self._queue_limiter.reserved_room(self._instance, run.run_id, code_location, max_queued, tags):
            return super().submit_run(context)

    def get_run_queue_config(self) -> RunQueueConfig:
        """The queue's configuration. The daemon's tick begins here; everybody else gets the limits in force."""
        config = super().get_run_queue_config()
        if daemon_step() == "run_iteration":
            return config._replace(tag_concurrency_limits=self._daemon_seam.begin_tick(self._instance))
        return config._replace(tag_concurrency_limits=LazyTagLimits(self._limits_in_force))

    def _limits_in_force(self) -> list[dict[str, Any]]:
        state = queue_state.read(self._instance, self.settings)
        return as_tag_limits(
            effective_limits(state.limits, state.settings),
            state.default_limit,
            state.settings.tag_concurrency_limits,
        )


def refuse_unfit_limits(coordinator: CLTQueuedRunCoordinator, runs: Mapping[str, Any]) -> None:
    """Refuse a configuration whose limits would never be applied, or whose minimums couldn't be kept.

    Args:
        coordinator: The coordinator.
        runs: `concurrency.runs` of its instance.

    Raises:
        ConfigurationError: The instance's own tag limits would silently replace `code_location_limits`, or the
            slots that are kept are more than `max_concurrent_runs`.
    """
    if coordinator.is_limiting and "tag_concurrency_limits" in runs:
        raise ConfigurationError(
            "concurrency.runs.tag_concurrency_limits of the instance, empty or not, replaces the coordinator's"
            f" {OPTION}; take the key out, or move its entries to"
            " run_coordinator.config.tag_concurrency_limits."
        )
    settings = coordinator.settings.as_replaced_by(runs)
    of_instance = isinstance(runs.get("max_concurrent_runs"), int)
    refuse_minimums_above_total(
        settings.code_location_limits,
        settings.max_concurrent_runs,
        "concurrency.runs.max_concurrent_runs of the instance" if of_instance else "max_concurrent_runs",
    )


def refuse_unsupported_storage(run_storage: object) -> None:
    """Refuse a run storage that the limits can't work with; told by the names of its classes, to import none.

    Args:
        run_storage: The instance's.

    Raises:
        ConfigurationError: It is MySQL's, or not SQL.
    """
    classes = type(run_storage).__mro__
    cure = "use PostgreSQL with dagster-postgres, or SQLite for a trial."
    if any(of.__module__.partition(".")[0] == "dagster_mysql" for of in classes):
        raise ConfigurationError(
            f"MySQL (dagster-mysql, the run storage {classes[0].__name__}) is not supported: its key-value store"
            " tells keys apart by their first 64 characters only, so live changes of two code locations with long"
            f" names would overwrite each other, and this package isn't tested on it; {cure}"
        )
    if not any(of.__name__ == "SqlRunStorage" for of in classes):
        raise ConfigurationError(
            f"The run storage {classes[0].__module__}.{classes[0].__qualname__} is not supported: it is none of"
            " Dagster's SqlRunStorage, and the runs of each code location are counted with SQL;"
            f" {cure}"
        )


CodeLocationTaggingQueuedRunCoordinator = CLTQueuedRunCoordinator
"""The same class under the name that says what it does."""
