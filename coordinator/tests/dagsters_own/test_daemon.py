"""Dagster's own tests of the daemon that starts queued runs."""

import pytest
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from dagster import DagsterInstance
from dagster._core.launcher import RunLauncher
from dagster_tests.daemon_tests import test_queued_run_coordinator_daemon as dagsters


class TestDaemonWithCLTQueuedRunCoordinator(dagsters.TestQueuedRunCoordinatorDaemon):  # type: ignore[misc]
    """With our coordinator in the place of theirs."""

    @pytest.fixture(autouse=True)
    def loaded_run_launcher(self, instance: DagsterInstance) -> RunLauncher:
        """The run launcher that these tests look into.

        Dagster loads it at its first use, without a lock: two threads that dequeue the first runs would make two.
        """
        return instance.run_launcher

    def test_our_coordinator_is_in_place(
        self, instance: DagsterInstance, coordinator_class: type[CLTQueuedRunCoordinator]
    ) -> None:
        """What the other tests of this class say is said of our coordinator."""
        assert type(instance.run_coordinator) is coordinator_class

    @pytest.mark.skip(reason="counts reads of pools, which the coordinator reads once more before the daemon does")
    def test_op_concurrency_info_fetched_once_per_iteration(self) -> None:
        """Dagster's own count of its daemon's reads; see `DagsterChecks`."""
