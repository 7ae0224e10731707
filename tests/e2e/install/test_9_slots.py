"""Runs that ask for real memory, in each of the three ways: together they never hold more slots than there are."""

import json
import logging
from dataclasses import replace

import pytest
from harness.launches import A, B, launch_of

from tests.e2e.deployment import Deployment
from tests.e2e.runs import histories, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
SLOTS = 5
ASKS = {"container_config": {"resources": {"requests": {"memory": "512Mi"}, "limits": {"memory": "1Gi"}}}}


@pytest.fixture
def in_slots(deployment: Deployment) -> None:
    """Lets limits count slots of 128Mi; the user deployments ask for 256Mi, and so do runs that say nothing."""
    options = {
        "max_concurrent_runs": SLOTS,
        "code_location_limits": {
            "slot": {"memory": "128Mi"},
            "default": {"run_needs": {"memory": "256Mi"}},
            "locations": {A: SLOTS, B: SLOTS},
        },
    }
    log.info("deploying with %d slots of 128Mi", SLOTS)
    deployment.upgrade(
        more_values={
            "dagsterDaemon": {"runCoordinator": {"config": {"customRunCoordinator": {"config": options}}}}
        }
    )


@pytest.mark.usefixtures("in_slots")
def test_runs_of_any_size_never_hold_more_slots_than_there_are(webserver: Webserver) -> None:
    """What their code location asks for, what their tag asks for, and what they ask Kubernetes for themselves."""
    launches = {
        2: launch_of(A, 5),
        3: replace(launch_of(B, 5), tags={"slots": "3"}),
        4: replace(launch_of(B, 5), tags={"dagster-k8s/config": json.dumps(ASKS)}),
    }
    size_of = {run_id: size for size, launch in launches.items() for run_id in webserver.launch([launch] * 3)}
    runs = wait_for_end(webserver, list(size_of), seconds=600)
    succeeded(runs)
    found = histories(webserver, runs)
    for began in (interval.start for each in found for interval in each.in_progress):
        at_once = [each for each in found if any(interval.includes(began) for interval in each.in_progress)]
        assert sum(size_of[each.run_id] for each in at_once) <= SLOTS
