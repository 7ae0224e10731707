"""Serves the pages."""

import socket
import threading
from collections.abc import Callable

import uvicorn

from clt_queued_run_coordinator.page.app import Options, application
from clt_queued_run_coordinator.page.readings import Opened, Readings


def serve(
    open_instance: Callable[[], Opened], options: Options, host: str, port: int, tell: Callable[[str], None]
) -> None:
    """Serve the pages until the process is told to end, and `tell` their address as a line; port 0 is a free one.

    Raises:
        OSError: The address can't be listened on.
        UnicodeError: It is a name that no host can have.
    """
    host.encode("idna")  # below, a name that no host can have would be a TypeError
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listening:
        at = f"[{host}]" if ":" in host else host
        tell(f"Serving http://{at}:{listening.getsockname()[1]}{options.path_prefix}/")
        readings = Readings(open_instance)
        threading.Thread(target=readings.queue, daemon=True).start()  # so that nobody waits for the first one
        app = application(readings, options)
        # Without proxy_headers the client is who has connected, whatever a header says.
        config = uvicorn.Config(app, log_level="warning", proxy_headers=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listening])
