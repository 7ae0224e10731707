"""A network that is half dead: a proxy whose connections stay open while nothing gets through any more."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class HalfDead:
    """A way to a server on this machine.

    Args:
        to: The server's port.
    """

    def __init__(self, to: int) -> None:
        self._to = to
        self._open = True
        self._epoch = 0
        self.port = 0

    def cut(self) -> None:
        """From here on nothing arrives, in either direction, and nobody is told."""
        self._open = False
        self._epoch += 1

    def mend(self) -> None:
        """New connections get through again. Those of before stay dead, as behind a firewall that forgot them."""
        self._open = True

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        epoch = self._epoch
        if not self._open:
            await asyncio.Event().wait()
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self._hand_on(epoch, reader, to_server), self._hand_on(epoch, from_server, writer))

    async def _hand_on(self, epoch: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if epoch == self._epoch:
                writer.write(data)
        if epoch == self._epoch:
            writer.close()

    async def serve(self, ready: threading.Event, stopped: threading.Event) -> None:
        """Serve until it is stopped; `port` is known when it is ready."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await asyncio.to_thread(stopped.wait)


@contextmanager
def half_dead(to: int) -> Iterator[HalfDead]:
    """Such a network in front of a port of this machine, for as long as the context."""
    way, ready, stopped = HalfDead(to), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(way.serve(ready, stopped)))
    thread.start()
    ready.wait(10)
    try:
        yield way
    finally:
        stopped.set()
        thread.join(10)
