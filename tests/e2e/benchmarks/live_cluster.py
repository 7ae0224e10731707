"""A release on a live cluster to measure."""

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.e2e.cluster import Cluster
from tests.e2e.deployment import Deployment
from tests.e2e.webserver import Webserver

NEEDED = ("KUBECONFIG", "CHART", "VERSION")
"""The environment variables of `make e2e`; tests/README.md says what they name."""


@contextmanager
def installed_release(parser: ArgumentParser, namespace: str) -> Iterator[tuple[Deployment, Webserver]]:
    """A release and its webserver; all of it is removed at the end.

    Args:
        parser: The command's parser, which says what is missing and ends the command.
        namespace: Where it is installed, if E2E_NAMESPACE names no other one.
    """
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        parser.error(f"{missing[0]} isn't set; tests/README.md says what it names")
    deployment = Deployment(Cluster(os.environ.get("E2E_NAMESPACE", namespace)), os.environ["CHART"])
    with closing(Webserver(deployment.cluster)) as webserver:
        try:
            deployment.install()
            yield deployment, webserver
        finally:
            deployment.remove()
