"""`dagster-clt metrics`."""

import signal

import click

from clt_queued_run_coordinator.cli.instance import read_queue, the_instance
from clt_queued_run_coordinator.metrics import scrape


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=9464, show_default=True, help="0 for a free one.")
def metrics(host: str, port: int) -> None:
    """Serve the numbers of the queue for Prometheus at /metrics."""
    try:
        from clt_queued_run_coordinator.metrics.server import serve  # noqa: PLC0415 - needs the extra `metrics`
    except ImportError as error:
        raise click.ClickException(
            f"The package {error.name} is missing; install dagster-clt-queued-run-coordinator[metrics]."
        ) from error
    with the_instance() as (instance, coordinator):
        try:
            port, thread = serve(lambda: scrape.read(instance, read_queue(instance, coordinator)), host, port)
        except OSError as error:
            raise click.ClickException(f"{host}:{port} can't be listened on: {error.strerror}") from error
        click.echo(f"Serving http://{host}:{port}/metrics", err=True)
        # Without a handler the first process of a container ignores SIGTERM, and each rollout waits for its kill.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            thread.join()
        except KeyboardInterrupt:
            return
