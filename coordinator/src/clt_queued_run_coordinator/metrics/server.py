"""Serves the numbers of the queue to Prometheus, in its own format and by its own library."""

import platform
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from clt_queued_run_coordinator.metrics.families import families
from clt_queued_run_coordinator.metrics.scrape import Scrape

PACKAGE = "dagster-clt-queued-run-coordinator"


class QueueCollector(Collector):
    """Reads the queue at each scrape.

    Args:
        read: Reads the queue; what it raises is told on standard error, counted, and makes `dagster_clt_up` 0.
    """

    def __init__(self, read: Callable[[], Scrape]) -> None:
        self._read = read
        self._errors = 0
        self._lock = threading.Lock()
        self._versions = [version(PACKAGE), version("dagster"), platform.python_version()]

    def collect(self) -> Iterator[Metric]:
        """The metrics of one scrape; what doesn't need the queue is always among them."""
        try:
            found = list(families(self._read()))
        except Exception as error:  # noqa: BLE001 - whatever a database can raise; the next scrape tries again
            print(f"The queue can't be read: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
            found = []
            with self._lock:
                self._errors += 1
        yield GaugeMetricFamily(
            "dagster_clt_up", "1 where the queue could be read, else 0.", value=int(bool(found))
        )
        yield CounterMetricFamily(
            "dagster_clt_scrape_errors",
            "Scrapes at which the queue could not be read, since this server was started.",
            value=self._errors,
        )
        build = GaugeMetricFamily(
            "dagster_clt_build_info",
            "Always 1; the labels are the versions of this package, Dagster and Python that serve the metrics.",
            labels=["version", "dagster_version", "python_version"],
        )
        build.add_metric(self._versions, 1)
        yield build
        yield from found


def serve(read: Callable[[], Scrape], host: str, port: int) -> tuple[int, threading.Thread]:
    """Serve `/metrics` in a thread.

    Args:
        read: Reads the queue.
        host: The address to listen on.
        port: The port to listen on; 0 for a free one.

    Returns:
        The port, and the thread that serves.

    Raises:
        OSError: The address can't be listened on.
    """
    registry = CollectorRegistry()
    registry.register(QueueCollector(read))
    server, thread = start_http_server(port, addr=host, registry=registry)
    return server.server_port, thread
