"""A whole Dagster deployment on this machine: daemon, webserver and code servers, each in its own process.

The demo shows it, the tests drive it, and the benchmarks measure it.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import dagster as dg
import yaml

from harness.graphql import GraphQL
from harness.process import Process, free_port, listens
from harness.waiting import wait_until

ROOT = Path(__file__).parents[2]
CODE_LOCATIONS = {
    "code-location-a": "code_location_a.definitions",
    "code-location-b": "code_location_b.definitions",
}
"""The module of each code location, by name."""
LOGS = "program_logs"
"""The folder in DAGSTER_HOME that holds each program's output."""


class System:
    """A `DAGSTER_HOME` and the programs that use it; use it as a context manager.

    Args:
        home: An empty folder for `DAGSTER_HOME`.
        instance_config: The content of its `dagster.yaml`.
        environment: Environment variables for every program, on top of this process's own.
        code_locations: The module of each code location, by name.
    """

    def __init__(
        self,
        home: Path,
        instance_config: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        code_locations: Mapping[str, str] = CODE_LOCATIONS,
    ) -> None:
        self.home = home
        # Not "logs": the webserver moves the files in DAGSTER_HOME/logs away and uploads them as telemetry.
        self.logs = home / LOGS
        self.logs.mkdir(parents=True)
        (home / "dagster.yaml").write_text(yaml.safe_dump(dict(instance_config)))
        self._environment = {**os.environ, "DAGSTER_HOME": str(home), **(environment or {})}
        self.ports = {name: free_port() for name in code_locations}
        self.workspace = home / "workspace.yaml"
        self.write_workspace(code_locations)
        self.code_servers = {
            name: self.process(name, "dagster", "api", "grpc", "--port", str(self.ports[name]),
                               "--host", "127.0.0.1", "--module-name", module, "--location-name", name)
            for name, module in code_locations.items()
        }  # fmt: skip
        self.daemon = self.process("daemon", "dagster._daemon", "run", "--workspace", str(self.workspace))
        self._webserver_port = free_port()
        self.webserver = self.process(
            "webserver", "dagster_webserver", "--workspace", str(self.workspace),
            "--host", "127.0.0.1", "--port", str(self._webserver_port),
        )  # fmt: skip
        self.url = f"http://127.0.0.1:{self._webserver_port}"
        self.graphql = GraphQL(self.url)

    def process(self, name: str, module: str, *arguments: str) -> Process:
        """A Python program of this system, not started yet. Its output goes to a file in `logs`."""
        command = [sys.executable, "-m", module, *arguments]
        return Process(name, command, self._environment, self.home, self.logs / f"{name}.log")

    def start(self) -> None:
        """Start every program and wait until all are ready.

        Raises:
            ProcessEndedError: A program ended instead.
            TimeoutError: A program was not ready in time.
        """
        # Creates the SQLite files. Programs that start together would create them at the same time, and fail.
        self.instance().dispose()
        for server in self.code_servers.values():
            server.start()
        for name in self.code_servers:
            self.wait_for_code_server(name)
        self.daemon.start()
        self.webserver.start()
        self.wait_for_webserver()

    def stop(self) -> None:
        """Stop every program."""
        for process in self.programs:
            process.stop()

    @property
    def programs(self) -> list[Process]:
        """Every program that should be running."""
        return [self.webserver, self.daemon, *self.code_servers.values()]

    def restart_ended(self) -> None:
        """Restart each program that has ended, as Kubernetes restarts a container."""
        for process in self.programs:
            if not process.running:
                process.start()

    def write_workspace(self, code_locations: Iterable[str]) -> None:
        """Write a workspace with some of the code locations; daemon and webserver read it when they start."""
        servers = [
            {"grpc_server": {"host": "127.0.0.1", "port": self.ports[name], "location_name": name}}
            for name in code_locations
        ]
        self.workspace.write_text(yaml.safe_dump({"load_from": servers}))

    def wait_for_code_server(self, name: str) -> None:
        """Wait until a started code server accepts connections."""
        server = self.code_servers[name]

        def ready() -> bool:
            server.ensure_running()
            return listens(self.ports[name])

        wait_until(f"{name} accepts connections", ready)

    def wait_for_webserver(self) -> None:
        """Wait until the webserver has loaded every code location."""

        def ready() -> bool:
            self.webserver.ensure_running()
            self.daemon.ensure_running()
            return listens(self._webserver_port) and self.graphql.has_loaded(self.code_servers)

        wait_until("the webserver has loaded every code location", ready)

    def instance(self) -> dg.DagsterInstance:
        """Open the same instance once more, to read what happened; close it with `with`."""
        return dg.DagsterInstance.from_config(str(self.home))

    def __enter__(self) -> "System":
        """Start every program; if one fails, stop those that were started."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


def trial_config(**coordinator_options: Any) -> dict[str, Any]:
    """The local trial's `dagster.yaml`, with some of the run coordinator's options changed."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    config["run_coordinator"]["config"].update(coordinator_options)
    return config


def with_dagsters_own_coordinator(
    config: Mapping[str, Any], tag_concurrency_limits: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A `dagster.yaml` with `QueuedRunCoordinator` in place of ours, for comparison.

    Args:
        config: The `dagster.yaml` with ours; its `code_location_limits` are dropped.
        tag_concurrency_limits: What limits the code locations instead.
    """
    options = dict(config["run_coordinator"]["config"])
    del options["code_location_limits"]
    # Where `dagster.yaml` has a `concurrency` block, Dagster accepts its own coordinator's limits only there.
    runs = {
        "max_concurrent_runs": options.pop("max_concurrent_runs"),
        "tag_concurrency_limits": [dict(limit) for limit in tag_concurrency_limits],
    }
    return {
        **config,
        "run_coordinator": {"module": "dagster", "class": "QueuedRunCoordinator", "config": options},
        "concurrency": {**config["concurrency"], "runs": runs},
    }
