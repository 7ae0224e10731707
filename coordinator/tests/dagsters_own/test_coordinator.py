"""Dagster's own tests of its run coordinator, which it offers to those who extend it."""

import pytest
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from dagster import DagsterInstance
from dagster_tests.core_tests.run_coordinator_tests import test_queued_run_coordinator as dagsters

test_thread_config = dagsters.test_thread_config


class TestCLTQueuedRunCoordinator(dagsters.TestQueuedRunCoordinator):  # type: ignore[misc]
    """With our coordinator in the place of theirs."""

    @pytest.fixture
    def coordinator(
        self, instance: DagsterInstance, coordinator_class: type[CLTQueuedRunCoordinator]
    ) -> CLTQueuedRunCoordinator:
        """Ours."""
        coordinator = coordinator_class()
        coordinator.register_instance(instance)
        return coordinator
