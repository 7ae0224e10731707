"""The cluster of the overlays' tests; each file installs a release of its own."""

from tests.e2e.conftest import cluster, webserver

__all__ = ["cluster", "webserver"]
