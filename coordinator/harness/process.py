"""One program of the system as a process that logs to a file."""

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
    """One program. `stop` also ends its children, such as the runs of a code server.

    Args:
        name: The program's name in messages.
        command: The program and its arguments. A change of this attribute takes effect at the next start.
        environment: All of its environment variables.
        directory: Its working directory.
        log: The file that its output is appended to.
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
        """Start or restart the program, without waiting until it is ready."""
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
        """The program's output so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def ensure_running(self) -> None:
        """Raise if the program has ended.

        Raises:
            ProcessEndedError: With the last lines of its output.
        """
        if not self.running:
            last = "\n".join(self.output().splitlines()[-30:])
            raise ProcessEndedError(f"{self.name} has ended; the last lines of {self.log}:\n{last}")

    def wait(self, seconds: float) -> int:
        """Wait until the program ends.

        Returns:
            Its exit code.

        Raises:
            subprocess.TimeoutExpired: It is still running.
        """
        if self._process is None:
            raise ProcessEndedError(f"{self.name} was not started.")
        return self._process.wait(seconds)

    def kill(self) -> None:
        """Kill the program with SIGKILL, as a crash would. Its children live on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ask the program to end, wait, and kill what is left of it and of its children."""
        if self._process is None:
            return
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        # One group for each start: a program that was killed and restarted may have left children behind.
        while self._groups:
            with suppress(ProcessLookupError):  # the whole group has ended
                os.killpg(self._groups.pop(), signal.SIGKILL)
        self._process.wait()


def free_port() -> int:
    """A local port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether something accepts connections on a local port."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def stop_on_signals() -> None:
    """Turn Ctrl-C, SIGTERM and a closed terminal into SystemExit, so that this program stops what it has started.

    Further signals are ignored while it stops.
    """
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
        numbers.remove(signal.SIGHUP)

    def stop(number: int, _: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        with suppress(OSError):  # the terminal may be gone
            sys.stderr.write("\nStopping what was started ...\n")
            sys.stderr.flush()
        sys.exit(128 + number)

    for each in numbers:
        signal.signal(each, stop)


def _make_signals_heard() -> None:
    """Stop ignoring SIGINT, which a shell makes its background jobs do.

    A Dagster program that inherits an ignored SIGINT doesn't react to SIGTERM either.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
