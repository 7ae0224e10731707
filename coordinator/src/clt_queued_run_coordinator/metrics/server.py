"""Serves the numbers of the queue to Prometheus, in its own format and by its own library."""

import platform
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneError
from importlib.metadata import version

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from clt_queued_run_coordinator.metrics.families import families
from clt_queued_run_coordinator.metrics.scrape import Scrape
from clt_queued_run_coordinator.text.safe import describe

PACKAGE = "dagster-clt-queued-run-coordinator"

READING_SECONDS = 4.0
"""How long a scrape waits for the queue, in seconds: Prometheus waits 10 by default, and other scrapers less."""


class SharedReading:
    """Reads the queue in a thread, and waits for it no longer than a scraper does, `seconds`.

    Scrapes that come while a reading is under way wait for that one. So however long the database takes, there is
    one thread and one reading of it at a time.
    """

    def __init__(self, read: Callable[[], Scrape], seconds: float = READING_SECONDS) -> None:
        self._read = read
        self._seconds = seconds
        self._lock = threading.Lock()
        self._reading: Future[Scrape] | None = None

    def __call__(self) -> Scrape:
        """What the reading has read; what it raised is raised here, and TimeoutError if it takes too long."""
        with self._lock:
            if self._reading is None or self._reading.done():
                self._reading = Future()
                threading.Thread(target=self._run, args=(self._reading,), daemon=True).start()
            reading = self._reading
        try:
            return reading.result(self._seconds)
        except NotDoneError:
            raise TimeoutError(f"the database has not answered within {self._seconds:g} s") from None

    def _run(self, reading: "Future[Scrape]") -> None:
        try:
            reading.set_result(self._read())
        except BaseException as error:  # noqa: BLE001 - the scrape that waits for it tells it
            reading.set_exception(error)


class QueueCollector(Collector):
    """Reads the queue at each scrape. An error is logged in one line and counted."""

    def __init__(self, read: Callable[[], Scrape], tell: Callable[[str], None]) -> None:
        self._read = read
        self._tell = tell
        self._errors = 0
        self._lock = threading.Lock()
        self._versions = [version(PACKAGE), version("dagster"), platform.python_version()]

    def collect(self) -> Iterator[Metric]:
        """The metrics of one scrape; what doesn't need the queue is always among them."""
        try:
            found = list(families(self._read()))
        except BaseException as error:  # noqa: BLE001 - whatever it is; the next scrape tries again
            self._tell(f"The queue can't be read: {describe(error)}")
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


def serve(
    read: Callable[[], Scrape], tell: Callable[[str], None], host: str, port: int
) -> tuple[int, threading.Thread]:
    """Serve `/metrics` in a thread, at a free port for 0; OSError where the address can't be listened on."""
    registry = CollectorRegistry()
    registry.register(QueueCollector(SharedReading(read), tell))
    server, thread = start_http_server(port, addr=host, registry=registry)
    return server.server_port, thread
