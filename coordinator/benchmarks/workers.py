"""Starts worker processes and asks them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.instances import open_queue, write_home
from benchmarks.measure import OURS, PLAIN, PUBLISHED

ROOT = Path(__file__).parent.parent
_PACKAGE = "dagster-clt-queued-run-coordinator==1.10.0"


class Worker:
    """One worker process, started here.

    Args:
        home: Its DAGSTER_HOME.
        packages: A folder of packages that come before the installed ones.
    """

    def __init__(self, home: Path, packages: Path | None = None) -> None:
        path = os.pathsep.join(map(str, filter(None, (packages, ROOT))))
        self._log = home / "worker.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker"],
                env={**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": path},
                cwd=home,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def ask(self, what: str, **arguments: Any) -> Any:
        """Ask for what a method of `worker.Answers` gives.

        Raises:
            RuntimeError: The worker has failed; with what it wrote.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"ask": what, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"The worker failed:\n{self._log.read_text()}")
        return json.loads(answer)

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()


def published_package(folder: Path) -> Path:
    """Install the published package into a folder of its own; nothing that it depends on."""
    target = folder / "published"
    if not target.exists():
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target"]
        subprocess.run([*command, str(target), "--python", sys.executable, _PACKAGE], check=True)
    return target


@contextmanager
def three_workers(folder: Path, storage: Mapping[str, Any]) -> Iterator[dict[str, Worker]]:
    """One for each coordinator, all on the same storage.

    Args:
        folder: An empty folder.
        storage: The `storage` of their `dagster.yaml`.
    """
    published = published_package(folder.parent)
    ours = write_home(folder / "ours", "clt", storage)
    open_queue(ours).instance.dispose()  # makes the tables; workers that start together would fail over them
    with ExitStack() as stack:
        workers = {
            OURS: Worker(ours),
            PLAIN: Worker(write_home(folder / "plain", "plain", storage)),
            PUBLISHED: Worker(write_home(folder / "published", "clt", storage), published),
        }
        for worker in workers.values():
            stack.callback(worker.stop)
        for name, worker in workers.items():
            source = worker.ask("source")
            assert source.startswith(str(published)) == (name == PUBLISHED), f"{name} loaded {source}"
        yield workers
