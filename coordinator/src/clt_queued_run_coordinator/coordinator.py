"""The run coordinator that Dagster loads; `dagster.yaml` or the Helm values name it."""

import logging
from collections.abc import Mapping
from functools import partial
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
    is_daemon_starting,
    remember_columns,
)
from clt_queued_run_coordinator.config.options import OPTION
from clt_queued_run_coordinator.config.parsing import parse, schema
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY, code_location_of, page_tag
from clt_queued_run_coordinator.daemon.seam import DaemonSeam
from clt_queued_run_coordinator.lazy_tag_limits import LazyTagLimits
from clt_queued_run_coordinator.operate import now
from clt_queued_run_coordinator.policy.size import tag_of_submit
from clt_queued_run_coordinator.registration import Registration, refuse_unsupported_storage
from clt_queued_run_coordinator.store.code_location import needs_tags
from clt_queued_run_coordinator.store.tag_writing import write_tags
from clt_queued_run_coordinator.submit.max_queued import QueueLimiter
from clt_queued_run_coordinator.submit.size import SizeGuard
from clt_queued_run_coordinator.text.safe import SafeMessages

__all__ = ["CLT_TAG_KEY", "CLTQueuedRunCoordinator", "CodeLocationTaggingQueuedRunCoordinator"]


class CLTQueuedRunCoordinator(QueuedRunCoordinator[DagsterInstance]):
    """Dagster's queued run coordinator, with limits on the runs in progress of each code location.

    It accepts every option of Dagster's `QueuedRunCoordinator`, and `code_location_limits`; see `config.options`.
    Each run is tagged with its code location when it is submitted.

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
        own = super().get_run_queue_config()
        self.settings = Settings(
            max_concurrent_runs=own.max_concurrent_runs,
            code_location_limits=parse(code_location_limits),
            tag_concurrency_limits=own.tag_concurrency_limits,
        )
        self._registration = Registration()
        self._queue_limiter = QueueLimiter(self._log)
        self._daemon_seam = DaemonSeam(self.settings, super().dequeue_interval_seconds, self._log)
        self._size_guard = SizeGuard(self._log)
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
        with self._registration.running(instance):
            refuse_unsupported_storage(instance.run_storage)
            self.settings.refuse_unfit(instance_concurrency_settings(instance))
            super().register_instance(instance)
            remember_columns(instance)

    @property
    def _instance(self) -> DagsterInstance:
        self._registration.wait()
        return super()._instance

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Tag the run with its code location, then queue it.

        Raises:
            ConfigurationError: The coordinator has refused the instance.
            RunWithoutCodeLocationError: The run has no code location origin.
            RunTooLargeError: It takes more slots than a limit on it ever has.
            QueueFullError: Its code location has `max_queued` runs queued already.
            SubmitLockError: Other submits to its code location did not finish in time.
        """
        run, limits = context.dagster_run, self.settings.code_location_limits
        code_location = code_location_of(run) or ""
        more = {**page_tag(run, limits.page_url), **tag_of_submit(limits, code_location, run.tags)}
        is_tagged = not needs_tags(run, self._log) and more.items() <= run.tags.items()
        tag = partial(write_tags, run_ids=[] if is_tagged else [run.run_id], more=more)
        if limits.slot and run.status is DagsterRunStatus.NOT_STARTED:
            sized = run.with_tags({**run.tags, **more})
            if refusal := self._size_guard.refusal(self._instance, self.settings, sized, code_location):
                tag(self._instance)
                raise refusal
        max_queued = limits.entry(code_location).max_queued
        if max_queued is None or run.status is not DagsterRunStatus.NOT_STARTED:
            # Not DagsterInstance.get(), which would open another instance for each submit.
            tag(self._instance)
            return super().submit_run(context)
        with self._queue_limiter.reserved_room(self._instance, run.run_id, code_location, max_queued, tag):
            return super().submit_run(context)

    def get_run_queue_config(self) -> RunQueueConfig:
        """The configuration of the run queue, with the limits in force as tag limits.

        The daemon asks for it at the beginning of each tick, so a tick begins here. For every other caller the
        limits are read only when somebody looks at them.
        """
        config = super().get_run_queue_config()
        if daemon_step() == "run_iteration":
            return config._replace(tag_concurrency_limits=self._daemon_seam.begin_tick(self._instance))
        return config._replace(tag_concurrency_limits=LazyTagLimits(self._shown_limits))

    @property
    def dequeue_interval_seconds(self) -> int:
        """The seconds between two ticks. The daemon asks when it starts, so with `standby` it waits here."""
        if self.settings.code_location_limits.standby and is_daemon_starting():
            self._daemon_seam.wait_to_lead(self._instance)
        return super().dequeue_interval_seconds

    def dispose(self) -> None:
        """Let another daemon dequeue at once, if this was the one that did; Dagster calls this at the end."""
        self._daemon_seam.close()
        super().dispose()

    def _shown_limits(self) -> list[dict[str, Any]]:
        return now.read(self._instance, self.settings).state.tag_limits(applied=False)


CodeLocationTaggingQueuedRunCoordinator = CLTQueuedRunCoordinator
"""The same class under its descriptive name."""
