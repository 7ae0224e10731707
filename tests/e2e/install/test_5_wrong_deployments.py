"""Wrong deployments stop at the startup probe with a readable answer, while the pods before them go on serving."""

import logging
from collections.abc import Iterator

import pytest
from harness.waiting import wait_until

from tests.chart import RELEASE, location_names
from tests.e2e.cluster import is_ready
from tests.e2e.deployment import Deployment
from tests.e2e.runs import burst, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
LOCATION = location_names()[0]
CLASS = "dagsterDaemon.runCoordinator.config.customRunCoordinator.class"
SECONDS = 60  # longer than a right deployment takes


@pytest.fixture(autouse=True)
def rolled_back(deployment: Deployment) -> Iterator[None]:
    """What a user does then: `helm rollback`."""
    yield
    log.info("rolling back")
    deployment.helm("rollback", RELEASE, "--wait", "--timeout=600s")


def described(deployment: Deployment, component: str, old: set[str]) -> str:
    """What `kubectl describe` and the log say of a component's new pod."""
    (new,) = {pod["metadata"]["name"] for pod in deployment.cluster.pods(component)} - old
    cluster = deployment.cluster
    return cluster.kubectl("describe", "pod", new) + cluster.kubectl("logs", new, "--all-containers", check=False)


def ready(deployment: Deployment, component: str) -> set[str]:
    """The names of a component's ready pods."""
    return {pod["metadata"]["name"] for pod in deployment.cluster.pods(component) if is_ready(pod)}


@pytest.mark.parametrize(
    ("component", "image"),
    [("webserver", "system-stock"), (LOCATION, f"{LOCATION}-stock")],
)
def test_an_image_without_the_coordinator(
    deployment: Deployment, webserver: Webserver, component: str, image: str
) -> None:
    """An image without the package never gets ready; the pod before it serves on, and runs succeed."""
    name = component if component == LOCATION else f"dagster-{component}"
    old = ready(deployment, name)
    log.info("upgrading %s to %s", component, image)
    answer = deployment.upgrade(images={component: image}, timeout=SECONDS, check=False)
    assert answer.returncode != 0
    assert ready(deployment, name) == old
    wait_until(
        "the startup probe says what is missing",
        lambda: "dagster-clt" in described(deployment, name, old).split("Startup probe", 1)[-1],
    )
    log.info("running a run beside it")
    succeeded(wait_for_end(webserver, webserver.launch(burst(LOCATION, 1))))


def test_a_misspelt_class(deployment: Deployment, webserver: Webserver) -> None:
    """A coordinator that can't be loaded stops the new webserver; the one before it serves on."""
    old = ready(deployment, "dagster-webserver")
    log.info("upgrading to a class that isn't there")
    answer = deployment.upgrade(settings={CLASS: "CLTQueuedRunCordinator"}, timeout=SECONDS, check=False)
    assert answer.returncode != 0
    assert ready(deployment, "dagster-webserver") == old
    assert webserver.ask("{ version }")
    for component in ("dagster-webserver", "dagster-daemon"):
        wait_until(
            f"{component} says what is misspelt",
            lambda component=component: (  # type: ignore[misc]
                "CLTQueuedRunCordinator" in described(deployment, component, old)
            ),
        )
