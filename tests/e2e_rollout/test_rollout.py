"""A `helm upgrade` of daemon, webserver and both code servers under load, with nobody who lends a hand."""

import pytest

from benchmarks.rollout import Rollout, measure, next_version
from tests.e2e.deployment import Deployment
from tests.e2e.webserver import Webserver


@pytest.fixture(scope="module")
def rollout(deployment: Deployment, webserver: Webserver) -> Rollout:
    """An upgrade with a launch each second."""
    return measure(deployment, webserver)


def test_no_launched_run_is_lost(rollout: Rollout) -> None:
    """Every launch that was answered leaves the queue, also those that waited for the new daemon."""
    assert rollout.submits
    assert rollout.lost == []


def test_runs_in_progress_go_on(rollout: Rollout) -> None:
    """They succeed with the image that they were launched with."""
    assert rollout.in_progress == ["SUCCESS", "SUCCESS"]


def test_a_webserver_answers_throughout(rollout: Rollout) -> None:
    """The old one serves until the new one does: no connection is refused or broken off."""
    assert [submit.error for submit in rollout.failed if "connect" in str(submit.error).lower()] == []


def test_new_runs_get_the_new_image(rollout: Rollout, deployment: Deployment) -> None:
    """The webserver learns of it by itself."""
    repository, _ = deployment.image("code-location-a")
    assert rollout.image == f"{repository}:{next_version()}"
