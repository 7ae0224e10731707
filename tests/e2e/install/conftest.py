"""One release for all tests of this folder, one after the other."""

from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import release
from tests.e2e.deployment import Deployment


@pytest.fixture(scope="package")
def deployment(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Deployment]:
    """The release."""
    with release(request, cluster, "install") as prepared:
        prepared.upgrade()
        yield prepared
