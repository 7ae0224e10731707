"""A `helm upgrade` of daemon, webserver and both code servers under load, with nobody who lends a hand."""

import logging

import pytest

from tests.e2e.benchmarks.rollout import Rollout, measure, next_version, report
from tests.e2e.deployment import Deployment
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def rollout(deployment: Deployment, webserver: Webserver) -> Rollout:
    """An upgrade with a launch each second."""
    found = measure(deployment, webserver)
    log.info("%s", report(found))
    return found


def test_no_launched_run_is_lost(rollout: Rollout) -> None:
    """Every launch that was answered leaves the queue, also those that waited for the new daemon."""
    assert rollout.submits
    assert rollout.lost == []


def test_runs_in_progress_go_on(rollout: Rollout) -> None:
    """They succeed with the image that they were launched with."""
    assert rollout.in_progress == ["SUCCESS", "SUCCESS"]


def test_most_launches_are_accepted(rollout: Rollout) -> None:
    """The old webserver and code servers serve until the new ones do; only in the moment between may some fail."""
    assert len(rollout.failed) <= len(rollout.submits) // 4, [submit.error for submit in rollout.failed]


def test_new_runs_get_the_new_image(rollout: Rollout, deployment: Deployment) -> None:
    """The webserver learns of it by itself."""
    repository, _ = deployment.image("code-location-a")
    assert rollout.image == f"{repository}:{next_version()}"
