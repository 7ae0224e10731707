"""`dagster-clt metrics`."""

import signal
from contextlib import suppress
from functools import cache, partial

import click

from clt_queued_run_coordinator.cli.instance import get_instance, load_coordinator, read_queue
from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.cli.serving import listens_at, serving
from clt_queued_run_coordinator.metrics import scrape


@click.command()
@listens_at(9464)
def metrics(host: str, port: int) -> None:
    """Serve metrics for Prometheus at /metrics.

    Each scrape reads the queue from the instance's database. Runs until it is interrupted.

    \b
    Example:
      dagster-clt metrics --host 0.0.0.0 --port 9464
    """  # noqa: D301 - \b is for click
    with serving("metrics", host, port):
        from clt_queued_run_coordinator.metrics.server import serve  # noqa: PLC0415 - needs the extra `metrics`
    load_coordinator()
    # Without a handler a container's first process ignores SIGTERM, and each rollout waits until it is killed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    opened = cache(get_instance)  # at the first reading, so that the database may come later than this

    def read() -> scrape.Scrape:
        instance, coordinator = opened()
        return scrape.read(instance, read_queue(instance, coordinator))

    with suppress(KeyboardInterrupt):
        with serving("metrics", host, port):
            port, thread = serve(read, partial(echo, err=True), host, port)
        echo(f"Serving http://{host}:{port}/metrics", err=True)
        thread.join()
