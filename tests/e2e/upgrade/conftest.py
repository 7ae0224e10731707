"""One release for all tests of this folder, first installed with the older Dagster."""

from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import release
from tests.e2e.deployment import Deployment
from tests.e2e.upgrade.release import old_tag


@pytest.fixture(scope="package")
def deployment(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Deployment]:
    """The release with the images of the older Dagster."""
    with release(request, cluster, "upgrade") as prepared:
        prepared.version = old_tag()
        prepared.upgrade()
        yield prepared
