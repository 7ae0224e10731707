"""One release for all tests of this folder, first installed with the older Dagster."""

import logging
import os
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import ARTIFACTS, cluster, keep_logs, webserver
from tests.e2e.deployment import Deployment
from tests.e2e_upgrade.release import old_tag

__all__ = ["cluster", "webserver"]
log = logging.getLogger(__name__)


@pytest.fixture(scope="session")
def deployment(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Deployment]:
    """The release with the images of the older Dagster; removed at the end."""
    installed = Deployment(cluster, os.environ["CHART"])
    installed.version = old_tag()
    log.info("installing the release with %s", installed.version)
    try:
        installed.install()
        yield installed
        if request.session.testsfailed:
            keep_logs(cluster, ARTIFACTS / "upgrade")
    except BaseException:
        keep_logs(cluster, ARTIFACTS / "upgrade")
        raise
    finally:
        installed.remove()
