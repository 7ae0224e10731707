"""A PostgreSQL that is further away: a proxy that hands on each piece of data later.

`python -m benchmarks.distance PORT SECONDS` is the proxy, a process of its own, so that it takes no turn from the
threads that are measured. It prints the port that it listens on.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.postgresql import PostgreSQL


@contextmanager
def further_away(server: PostgreSQL, round_trip: float) -> Iterator[int]:
    """The port of a proxy before a server, for as long as the context.

    Args:
        server: The server.
        round_trip: What it adds to each question and its answer, in seconds.
    """
    command = [sys.executable, "-m", __name__, str(server.port), str(round_trip / 2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout
        try:
            yield int(proxy.stdout.readline())
        finally:
            proxy.terminate()


async def _serve(port: int, delay: float) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_hand_on(reader, to_server, delay), _hand_on(from_server, writer, delay))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    loop = asyncio.get_running_loop()
    while data := await reader.read(65_536):
        loop.call_later(delay, writer.write, data)
    loop.call_later(delay, writer.close)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
