"""A database that takes connections and never answers."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import yaml
from tests.run_queue import MODULE


def test_a_command_gives_up_and_says_why(tmp_path: Path) -> None:
    """Long before Dagster has tried six times."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        config = {
            "storage": {"postgres": {"postgres_url": f"postgresql://somebody@127.0.0.1:{port}/dagster"}},
            "run_coordinator": {"module": MODULE, "class": "CLTQueuedRunCoordinator"},
        }
        (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
        answer = subprocess.run(
            [Path(sys.executable).with_name("dagster-clt"), "status"],
            env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert "the database at 127.0.0.1 doesn't answer: " in line
