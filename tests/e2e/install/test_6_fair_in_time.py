"""A third code location comes late, beside two that flood the queue: on real pods its runs get in all the same."""

import logging
from dataclasses import replace
from itertools import chain

import pytest
import yaml
from harness.launches import B, launch_of

from tests.chart import VALUES, location_names
from tests.e2e.deployment import Deployment
from tests.e2e.install.test_3_failures import wait_until_ended
from tests.e2e.runs import burst, histories, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
LATE = "code-location-late"
SLOTS = 2


@pytest.fixture
def late_code_location(deployment: Deployment) -> None:
    """Deploys the image of `code-location-b` once more under another name, with two slots for all three.

    What earlier tests left one code location owed has faded meanwhile, since credit is halved every second.
    """
    deployments = yaml.safe_load(VALUES.read_text())["dagster-user-deployments"]["deployments"]
    repository, tag = deployment.image("code-location-b")
    image = {**deployments[1]["image"], "repository": repository, "tag": tag}
    late = {**deployments[1], "name": LATE, "image": image}
    options = {
        "max_concurrent_runs": SLOTS,
        "code_location_limits": {"sharing": {"kind": "fair", "half_life": 1}},
    }
    values = {
        "dagster-user-deployments": {"deployments": [*deployments, late]},
        "dagsterDaemon": {"runCoordinator": {"config": {"customRunCoordinator": {"config": options}}}},
    }
    log.info("deploying a third code location, with %d slots for all three", SLOTS)
    deployment.upgrade(more_values=values)


@pytest.mark.usefixtures("late_code_location")
def test_a_late_code_location_gets_in_beside_two_floods(webserver: Webserver) -> None:
    """Its first run starts with one of the next free slots, while runs of both others still wait."""
    # In turns, so that neither of them takes both slots at first, which the other one would be owed for a while.
    in_turns = zip(*(burst(location, 5, seconds=2) for location in location_names()), strict=True)
    floods = webserver.launch(list(chain.from_iterable(in_turns)))
    wait_until_ended(webserver, floods, 2)
    late = webserver.launch([replace(launch_of(B, 2), code_location=LATE)] * 2)
    runs = wait_for_end(webserver, [*floods, *late], seconds=600)
    succeeded(runs)
    found = histories(webserver, runs)
    first = min((each for each in found if each.code_location == LATE), key=lambda each: each.in_progress[0].start)
    began = first.in_progress[0].start
    meanwhile = [
        each.run_id
        for each in found
        if each.code_location != LATE and first.enqueued < each.in_progress[0].start < began
    ]
    assert len(meanwhile) <= SLOTS
    for location in location_names():
        assert any(each.waits_at(began) for each in found if each.code_location == location)
