"""The daemon's way to the Kubernetes API server, half dead: connections stay open, and nothing gets through."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.command_line import in_daemon

CONNECT = """
import os, socket
socket.create_connection((os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]), 5)
"""


class WayToKubernetes:
    """The way of the daemon's pod, which this machine's iptables can cut if the pod is on this machine.

    Args:
        cluster: Where the daemon is; its test is skipped if the way can't be cut.
    """

    def __init__(self, cluster: Cluster) -> None:
        if os.geteuid() or not shutil.which("iptables"):
            pytest.skip("a half-dead network needs iptables and root")
        (pod,) = cluster.pods("dagster-daemon")
        (service,) = Cluster("default").items("services", "component=apiserver")
        # Before a packet's address is that of one API server, and whatever connection it belongs to.
        source, destination = pod["status"]["podIP"], service["spec"]["clusterIP"]
        self._rule = ["--protocol", "tcp", "--source", source, "--destination", destination, "--jump", "DROP"]
        try:
            with self.cut():
                answer = cluster.kubectl(*in_daemon("python", "-c", CONNECT), check=False)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"a half-dead network needs iptables: {error}")
        if "TimeoutError" not in answer:
            pytest.skip(f"the daemon's pod isn't on this machine, or iptables doesn't see its packets: {answer}")

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Drop what the daemon sends to the API server."""
        iptables = ["iptables", "--wait", "--table", "raw"]
        subprocess.run([*iptables, "--insert", "PREROUTING", *self._rule], check=True)
        try:
            yield
        finally:
            subprocess.run([*iptables, "--delete", "PREROUTING", *self._rule], check=True)
