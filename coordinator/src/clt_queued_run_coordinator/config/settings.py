"""The settings of the coordinator, and what the instance replaces of them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.config.options import FAIR, OPTION, CodeLocationLimits
from clt_queued_run_coordinator.config.parsing import refuse_minimums_above_total


@dataclass(frozen=True)
class Settings:
    """The options that decide what may start. A `max_concurrent_runs` of -1 is no limit, as Dagster has it."""

    max_concurrent_runs: int
    code_location_limits: CodeLocationLimits
    tag_concurrency_limits: Sequence[Mapping[str, Any]] = ()

    @property
    def is_fair(self) -> bool:
        """Whether free slots go to the code location that is furthest below its share."""
        return self.code_location_limits.sharing.kind == FAIR

    def as_replaced_by(self, concurrency_runs: Mapping[str, Any]) -> "Settings":
        """The settings in force on an instance, whose `concurrency.runs` replaces the coordinator's own keys.

        For Dagster the presence of a key is enough, so even an empty list replaces the coordinator's tag limits
        (`ConcurrencyConfig.from_concurrency_settings`).
        """
        total = concurrency_runs.get("max_concurrent_runs")
        settings = replace(self, max_concurrent_runs=total) if isinstance(total, int) else self
        if "tag_concurrency_limits" in concurrency_runs:
            return replace(settings, tag_concurrency_limits=concurrency_runs["tag_concurrency_limits"] or ())
        return settings

    def refuse_unfit(self, concurrency_runs: Mapping[str, Any]) -> None:
        """Refuse what can't hold on an instance, whose `concurrency.runs` is given.

        Raises:
            ConfigurationError: The instance's own tag limits would silently replace `code_location_limits`, or the
                minimums add up to more than `max_concurrent_runs`.
        """
        if self.code_location_limits != CodeLocationLimits() and "tag_concurrency_limits" in concurrency_runs:
            raise ConfigurationError(
                "The instance's concurrency.runs.tag_concurrency_limits replaces the coordinator's"
                f" {OPTION}, even if it is empty; remove the key, or move its entries to"
                " run_coordinator.config.tag_concurrency_limits."
            )
        of_instance = isinstance(concurrency_runs.get("max_concurrent_runs"), int)
        refuse_minimums_above_total(
            self.code_location_limits,
            self.as_replaced_by(concurrency_runs).max_concurrent_runs,
            "the instance's concurrency.runs.max_concurrent_runs" if of_instance else "max_concurrent_runs",
        )
