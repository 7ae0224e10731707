"""compose.yaml and the files that its containers read agree with each other and with the other deployments."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from psycopg2.extensions import make_dsn, parse_dsn

from tests.unit.deployed_files import FOLDERS, ROOT, deployments, values

COMPOSE = ROOT / "deploy" / "compose"
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
DAGSTER: dict[str, Any] = yaml.safe_load((COMPOSE / "dagster.yaml").read_text())
OPTIONS: dict[str, Any] = DAGSTER["run_coordinator"]["config"]


def test_every_code_location_has_a_code_server() -> None:
    """With its own image, and the arguments that the Helm values give it."""
    for deployment in deployments():
        service = SERVICES[deployment["name"]]
        assert service["image"].split("/")[-1].split(":")[0] == deployment["name"]
        assert service["command"][-2:] == deployment["dagsterApiGrpcArgs"]
    assert SERVICES.keys() >= FOLDERS


def test_the_workspace_loads_every_code_server() -> None:
    """workspace.yaml names each service that serves code, by the code location's name and its port."""
    entries = yaml.safe_load((COMPOSE / "workspace.yaml").read_text())["load_from"]
    assert [entry["grpc_server"] for entry in entries] == [
        {"location_name": name, "host": name, "port": 3030} for name in SERVICES if name in FOLDERS
    ]
    for name in FOLDERS:
        assert "3030" in SERVICES[name]["command"]


def test_every_limit_can_be_reached_and_names_a_code_location() -> None:
    """A limit of a code location that isn't there would never apply."""
    locations = OPTIONS["code_location_limits"]["locations"]
    assert set(locations) <= FOLDERS
    assert OPTIONS["max_concurrent_runs"] >= sum(locations.values())


def test_every_program_notices_a_database_that_is_gone() -> None:
    """With the time limits of the Helm values, by names that PostgreSQL's library knows."""
    params = DAGSTER["storage"]["postgres"]["postgres_db"]["params"]
    assert params == values()["postgresql"]["postgresqlParams"]
    assert parse_dsn(make_dsn(**params)) == {name: str(value) for name, value in params.items()}
    assert params.keys() >= {"connect_timeout", "keepalives_idle", "tcp_user_timeout"}


def test_dagster_accepts_the_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of dagster.yaml but the database, which a unit test hasn't got."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({k: v for k, v in DAGSTER.items() if k != "storage"}))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        coordinator = instance.run_coordinator
        assert isinstance(coordinator, CLTQueuedRunCoordinator)
        assert instance.get_concurrency_config().run_queue_config is not None


def test_every_program_of_dagster_checks_that_it_can_load_the_coordinator() -> None:
    """What queues runs, starts them or runs them; Dagster itself loads the coordinator only when it needs it."""
    for name in {"daemon", "webserver"} | FOLDERS:
        _, command = SERVICES[name]["healthcheck"]["test"]
        assert command.startswith("dagster-clt probe && ")


def test_every_service_has_a_health_check() -> None:
    """All but the one that makes the tables and ends."""
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == {"tables"}


def test_no_secret_is_in_the_file_and_no_port_is_open_to_other_machines() -> None:
    """The password comes from .env, which git ignores; Dagster has no login."""
    passwords = [service.get("environment", {}).get("POSTGRES_PASSWORD") for service in SERVICES.values()]
    assert {password for password in passwords if password} == {"${POSTGRES_PASSWORD:?run make compose-up}"}
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.usefixtures("podman")
def test_compose_reads_the_file() -> None:
    """With what .env has; without it, it says what to do."""
    pytest.importorskip("podman_compose", reason="podman-compose is installed for `make test` alone")
    command = [sys.executable, "-m", "podman_compose", "--env-file", "/dev/null", "config"]
    environment = {name: os.environ[name] for name in ("PATH", "HOME")}
    said = subprocess.run(
        command,
        env=environment | {"POSTGRES_PASSWORD": "secret", "VERSION": "1.0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert "localhost/system:1.0" in said.stdout
    refused = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "run make compose-up" in refused.stderr + refused.stdout
