"""A program of the system, run as a process of its own, with its output in a file."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_STOP_SECONDS = 20


class ProcessEndedError(Exception):
    """A program that should be running has ended."""


class Process:
    """One program. Its children, such as the runs of a code server, end with it at the latest on `stop`.

    Args:
        name: What messages and the log file call it.
        command: The program and its arguments; a change of the attribute holds from the next start on.
        environment: Its environment variables, in full.
        directory: Where it runs.
        log: The file that its output is added to.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], directory: Path, log: Path
    ) -> None:
        self.name = name
        self.log = log
        self.command = list(command)
        self._environment = dict(environment)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[int] = []

    def start(self) -> None:
        """Start the program, again where it has ended; does not wait until it is ready."""
        _make_signals_heard()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self._environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._groups.append(self._process.pid)

    @property
    def running(self) -> bool:
        """Whether the program was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the program that was started last."""
        if self._process is None:
            raise ProcessEndedError(f"{self.name} was not started.")
        return self._process.pid

    def output(self) -> str:
        """What the program has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def ensure_running(self) -> None:
        """Raise if the program has ended.

        Raises:
            ProcessEndedError: With the last lines that it wrote.
        """
        if not self.running:
            last = "\n".join(self.output().splitlines()[-30:])
            raise ProcessEndedError(f"{self.name} has ended; the last lines of {self.log}:\n{last}")

    def wait(self, seconds: float) -> int:
        """Wait until the program ends by itself.

        Returns:
            Its exit code.

        Raises:
            subprocess.TimeoutExpired: It is still running.
        """
        if self._process is None:
            raise ProcessEndedError(f"{self.name} was not started.")
        return self._process.wait(seconds)

    def kill(self) -> None:
        """Kill the program alone (SIGKILL), as a crash would; its children live on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ask the program to end, wait for it, and end what is left of it and of its children."""
        if self._process is None:
            return
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        # Also the children of one that was killed and started again.
        while self._groups:
            with suppress(ProcessLookupError):  # nothing is left of it
                os.killpg(self._groups.pop(), signal.SIGKILL)
        self._process.wait()


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether a program accepts connections on a port of this machine."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def stop_on_sigterm() -> None:
    """End this program by an exception where it is asked to end, so that it stops what it has started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _make_signals_heard() -> None:
    """Let children hear SIGINT: Dagster's programs that inherit it ignored do not hear SIGTERM either.

    A shell starts its background jobs that way.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
