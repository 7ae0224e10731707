"""The cluster, the release and its webserver of `make e2e`."""

from tests.e2e.conftest import cluster, deployment, webserver

__all__ = ["cluster", "deployment", "webserver"]
