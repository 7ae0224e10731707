"""The containers of compose.yaml under a project name of their own."""

import os
import secrets
import shlex
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from harness.graphql import GraphQL
from harness.process import free_port
from harness.waiting import wait_until

ROOT = Path(__file__).parents[3]
FILES = (ROOT / "compose.yaml", Path(__file__).with_name("published_database.yaml"))
PROJECT = "dagster-compose-test"
SERVICES: dict[str, Any] = yaml.safe_load(FILES[0].read_text())["services"]
CODE_LOCATIONS = [name for name in SERVICES if (ROOT / "code_locations" / name).is_dir()]


class ComposeDeployment:
    """The deployment.

    Args:
        home: An empty folder for an instance that reads the deployment's database.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._password = secrets.token_hex(16)
        self._ports = {name: free_port() for name in ("PORT", "PAGE_PORT", "METRICS_PORT", "POSTGRES_PORT")}
        self._command = [*shlex.split(os.environ["COMPOSE"]), "--project-name", PROJECT]
        self._command += [part for file in FILES for part in ("--file", str(file))]
        database = {
            "hostname": "127.0.0.1",
            "username": "dagster",
            "password": self._password,
            "db_name": "dagster",
            "port": self._ports["POSTGRES_PORT"],
        }
        instance = {"storage": {"postgres": {"postgres_db": database}}, "telemetry": {"enabled": False}}
        (home / "dagster.yaml").write_text(yaml.safe_dump(instance))
        self.graphql = GraphQL(f"http://127.0.0.1:{self._ports['PORT']}")
        self.page_url = f"http://127.0.0.1:{self._ports['PAGE_PORT']}/"
        self.metrics_url = f"http://127.0.0.1:{self._ports['METRICS_PORT']}/metrics"

    def compose(self, *arguments: str) -> str:
        """Run a command of compose; its output.

        Raises:
            AssertionError: It failed; with what it said.
        """
        answer = subprocess.run(
            [*self._command, *arguments],
            env={
                **os.environ,
                **{name: str(port) for name, port in self._ports.items()},
                "POSTGRES_PASSWORD": self._password,
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, f"{' '.join(arguments)}: {answer.stdout}{answer.stderr}"
        return answer.stdout

    def exec(self, service: str, *command: str) -> str:
        """Run a program in the container of a service; its output."""
        return self.compose("exec", "-T", service, *command)

    def up(self) -> None:
        """Start every container and wait until the webserver has loaded every code location."""
        self.compose("up", "--detach")
        self.wait_until_loaded()

    def wait_until_loaded(self) -> None:
        """Wait until the webserver has loaded every code location."""

        def loaded() -> bool:
            try:
                return self.graphql.has_loaded(CODE_LOCATIONS)
            except OSError:  # no webserver yet
                return False

        wait_until("the webserver has loaded every code location", loaded, seconds=300, every=1)

    def instance(self) -> dg.DagsterInstance:
        """The deployment's instance, to read from; close it with `with`."""
        return dg.DagsterInstance.from_config(str(self.home))
