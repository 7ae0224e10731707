"""Looks at the size of a submitted run, where `slot` is configured: refuses what never fits."""

import logging
from collections.abc import Iterator

from clt_queued_run_coordinator._dagster import DagsterInstance, DagsterRun, instance_concurrency_settings
from clt_queued_run_coordinator.config.kinds import path
from clt_queued_run_coordinator.config.options import OPTION
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.config.tag import SLOTS_TAG
from clt_queued_run_coordinator.policy.size import size
from clt_queued_run_coordinator.policy.tag_limits import limits_code_location
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.transaction import reading
from clt_queued_run_coordinator.text.safe import safe

_TOLD_AT_MOST = 1000
"""The most warnings that are remembered, so that each is given once."""


class RunTooLargeError(Exception):
    """The run is refused, because it takes more slots than a limit on it ever has."""

    def __init__(self, run_id: str, slots: int, key: str, most: int) -> None:
        super().__init__(
            f"Run {run_id} is refused: it takes {slots} slots, and {key} is {most}. Let it ask for less in its"
            f" tags dagster-k8s/config or {SLOTS_TAG}, or raise {key} to {slots} or more."
        )


class SizeGuard:
    """Looks at the runs that one process submits."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: set[tuple[str, ...]] = set()

    def refusal(
        self, instance: DagsterInstance, settings: Settings, run: DagsterRun, code_location: str
    ) -> RunTooLargeError | None:
        """Why a run is refused: it takes more slots than a limit on it ever has; None if it isn't.

        A limit of 0, which starts nothing, refuses nothing. Also warns of what is wrong in the run's tags, once
        for all runs that have the same.
        """
        slots, wrong = size(settings.code_location_limits, code_location, run.tags)
        told = (code_location, *wrong)
        if wrong and told not in self._told:
            self._told = {*(self._told if len(self._told) < _TOLD_AT_MOST else ()), told}
            self._log.warning(
                "Run %s of code location %r: %s. It doesn't count for the run's size; correct the tag.",
                *(run.run_id, code_location, "; ".join(wrong)),
            )
        in_force = settings.as_replaced_by(instance_concurrency_settings(instance))
        for key, most in _most(instance, in_force, code_location, slots):
            if 0 < most < slots:
                return RunTooLargeError(run.run_id, slots, key, most)
        return None


def _most(
    instance: DagsterInstance, settings: Settings, code_location: str, slots: int
) -> Iterator[tuple[str, int]]:
    """The limits on a run, by their keys, each with the most that it ever is."""
    limits = settings.code_location_limits
    yield "max_concurrent_runs", settings.max_concurrent_runs
    if (group := limits.group(code_location)) and group.limit is not None:
        name = path(f"{OPTION}.groups", limits.group_name(code_location))
        yield f"{name}.limit", group.limit
    for tag_limit in settings.tag_concurrency_limits:
        if limits_code_location(tag_limit, code_location):
            yield f"the limit of {safe(code_location)} in tag_concurrency_limits", tag_limit["limit"]
    entry = limits.entry(code_location)
    if entry.limit is not None:
        most = max(entry.limit, *(window.limit for window in entry.windows), 0)
        if most < slots:  # a live limit may be higher
            with reading(instance) as connection:
                change = live.read(connection).limit(code_location)
            most = max(most, change.value) if change else most
        yield f"{path(f'{OPTION}.locations', code_location)}.limit", most
