"""What the commands that serve something share: where they listen, and what they say if they can't."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click


def listens_at(port: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--host` and `--port` of a command that serves something, with its usual port."""
    host = click.option(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        show_default=True,
        help="The address to listen on; 0.0.0.0 for every one of this machine.",
    )
    at_port = click.option(
        "--port",
        type=click.IntRange(0, 65535),
        metavar="PORT",
        default=port,
        show_default=True,
        help="The port to listen on; 0 picks a free one.",
    )
    return lambda command: host(at_port(command))


@contextmanager
def serving(extra: str, host: str, port: int) -> Iterator[None]:
    """ClickException where a package of an extra is missing, or where nothing can listen at the address."""
    try:
        yield
    except ImportError as error:
        raise click.ClickException(
            f"The package {error.name} is missing; install dagster-clt-queued-run-coordinator[{extra}]."
        ) from error
    except (OSError, UnicodeError) as error:  # the latter for a name that no host can have
        cause = getattr(error, "strerror", None) or error
        raise click.ClickException(
            f"Can't listen on {host}:{port}: {cause}; choose another --host or --port."
        ) from error
