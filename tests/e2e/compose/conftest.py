"""One deployment for every test here; its containers and volumes are gone at the end."""

import logging
import os
import shlex
import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.compose.deployment import ComposeDeployment

log = logging.getLogger(__name__)


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeDeployment]:
    """compose.yaml, up and loaded."""
    command = os.environ.get("COMPOSE")
    if not command or not shutil.which(shlex.split(command)[0]):
        pytest.skip("COMPOSE names no program: `docker compose` or podman-compose; `make compose-test` sets it")
    started = ComposeDeployment(tmp_path_factory.mktemp("home"))
    log.info("starting the containers")
    try:
        started.up()
        yield started
    finally:
        log.info("removing the containers and their volumes")
        started.compose("down", "--volumes")
