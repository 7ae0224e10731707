"""An instance of its own for the command line, found through DAGSTER_HOME, on each storage."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from clt_queued_run_coordinator.cli import main
from dagster import DagsterInstance
from tests.run_queue import MODULE, RunQueue
from tests.runner import new_runner

CONFIG = {
    "max_concurrent_runs": 10,
    "code_location_limits": {"default": 5, "locations": {"code-location-a": 3}, "sharing": "fair"},
}


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str


class Home:
    """A folder with a dagster.yaml, and the instance in it."""

    def __init__(self, folder: Path, storage: dict[str, Any], stack: ExitStack) -> None:
        self.folder = folder
        self._storage = storage
        self._stack = stack
        self.configure(CONFIG)

    def configure(self, config: dict[str, Any], **instance: Any) -> None:
        """Write the dagster.yaml: the coordinator's config, and other settings of the instance."""
        settings = {
            "run_coordinator": {"module": MODULE, "class": "CLTQueuedRunCoordinator", "config": config},
            "run_launcher": {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"},
            "telemetry": {"enabled": False},
            **self._storage,
            **instance,
        }
        (self.folder / "dagster.yaml").write_text(yaml.safe_dump(settings))

    def queue(self) -> RunQueue:
        """The instance's queue."""
        return RunQueue(self._stack.enter_context(DagsterInstance.from_config(str(self.folder))))

    def run(self, *arguments: str) -> Answer:
        """Run a command in this process."""
        result = new_runner().invoke(main, list(arguments), env={"DAGSTER_HOME": str(self.folder)})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """An instance on SQLite, and one on PostgreSQL, in the current folder, where no workspace is."""
    monkeypatch.chdir(tmp_path)
    storage: dict[str, Any] = {}
    if request.param == "postgresql":
        new_database: Callable[[], str] = request.getfixturevalue("new_database")
        storage = {"storage": {"postgres": {"postgres_url": new_database()}}}
    with ExitStack() as stack:
        yield Home(tmp_path, storage, stack)


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' own checks; the test is skipped where it isn't installed."""
    found = shutil.which("promtool")
    if not found:
        pytest.skip("promtool is not installed; on Debian: apt-get install prometheus")
    return found
