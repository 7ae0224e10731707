"""The numbers of `dagster-clt status` for Prometheus, in its own format and by its own library."""

import math
import sys
import threading
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from clt_queued_run_coordinator.view.status import Status

LABEL = "code_location"
UP = "dagster_clt_up"


class QueueCollector(Collector):
    """Reads the queue at each scrape.

    Args:
        read: Reads the queue; what it raises is told on standard error and makes `dagster_clt_up` 0.
    """

    def __init__(self, read: Callable[[], Status]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges of one scrape."""
        try:
            status = self._read()
        except Exception as error:  # noqa: BLE001 - whatever a database can raise; the next scrape tries again
            print(f"The queue can't be read: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
            yield GaugeMetricFamily(UP, "1 where the queue could be read, else 0.", value=0)
            return
        yield GaugeMetricFamily(UP, "1 where the queue could be read, else 0.", value=1)
        yield GaugeMetricFamily(
            "dagster_clt_max_concurrent_runs",
            "The most runs in progress at once; -1 for no such limit.",
            value=_as_float(status.max_concurrent_runs),
        )
        if status.queue_reading is not None:
            yield GaugeMetricFamily(
                "dagster_clt_narrowed_reading",
                "1 where the daemon reads just the queued runs that may start, 0 where it reads the whole queue;"
                " absent before its first tick.",
                value=int(status.queue_reading == "narrowed"),
            )
        yield from _by_code_location(status)


def _by_code_location(status: Status) -> Iterator[GaugeMetricFamily]:
    queued = GaugeMetricFamily("dagster_clt_queued_runs", "Queued runs.", labels=[LABEL])
    in_progress = GaugeMetricFamily("dagster_clt_in_progress_runs", "Runs in progress.", labels=[LABEL])
    limit = GaugeMetricFamily(
        "dagster_clt_limit_runs",
        "The most runs in progress at once; absent for a code location without a limit.",
        labels=[LABEL],
    )
    paused = GaugeMetricFamily(
        "dagster_clt_paused", "1 where the code location is paused, else 0.", labels=[LABEL]
    )
    oldest = GaugeMetricFamily(
        "dagster_clt_oldest_queued_run_age_seconds",
        "How long ago the oldest queued run was created; 0 with nothing queued.",
        labels=[LABEL],
    )
    for line in status.code_locations:
        name = [line.code_location]
        queued.add_metric(name, line.queued)
        in_progress.add_metric(name, line.in_progress)
        if line.limit is not None:
            limit.add_metric(name, _as_float(line.limit))
        paused.add_metric(name, int(line.limit_from == "paused"))
        oldest.add_metric(name, line.oldest_queued_seconds or 0)
    yield from (queued, in_progress, limit, paused, oldest)


def _as_float(number: int) -> float:
    """The number as Prometheus takes it: one too large for a float, which would end the scrape, is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def serve(read: Callable[[], Status], host: str, port: int) -> tuple[int, threading.Thread]:
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
