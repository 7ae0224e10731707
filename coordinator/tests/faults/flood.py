"""A flood of runs of both code locations from several clients at once."""

from harness.process import Process
from harness.system import System
from tests.faults.client import ACKNOWLEDGED, REFUSED

RUN_SECONDS = 0.5


class Flood:
    """Clients that submit at the same time.

    Args:
        system: The system that is flooded.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._clients: list[Process] = []

    def start(self, clients: int, runs: int) -> None:
        """Start some clients more; each launches a number of runs, half of them of each code location."""
        for _ in range(clients):
            client = self._system.process(
                f"client-{len(self._clients)}",
                "tests.faults.client",
                self._system.url,
                str(runs),
                str(RUN_SECONDS),
            )
            self._clients.append(client)
            client.start()

    @property
    def running(self) -> bool:
        """Whether a client has not done yet."""
        return any(client.running for client in self._clients)

    @property
    def acknowledged(self) -> list[str]:
        """The ids of the runs whose launch was acknowledged so far."""
        return [line.split()[1] for line in self._answers() if line.startswith(ACKNOWLEDGED)]

    @property
    def refused(self) -> list[str]:
        """Why launches were not acknowledged."""
        return [line for line in self._answers() if line.startswith(REFUSED)]

    def stop(self) -> None:
        """Stop every client that still runs."""
        for client in self._clients:
            client.stop()

    def _answers(self) -> list[str]:
        """The complete lines of all clients."""
        return [
            line
            for client in self._clients
            for line in client.output().splitlines(keepends=True)
            if line.endswith("\n")
        ]
