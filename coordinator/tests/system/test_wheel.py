"""The built wheel, as a code location outside this repository uses it."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2]


DEFINITIONS = """
import dagster as dg
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY


@dg.op
def hello(context: dg.OpExecutionContext) -> None:
    context.log.info(CLT_TAG_KEY)


@dg.job
def greet() -> None:
    hello()


defs = dg.Definitions(jobs=[greet])
"""

INSTANCE = """
run_coordinator:
  module: clt_queued_run_coordinator.coordinator
  class: CLTQueuedRunCoordinator
  config:
    code_location_limits: {default: 5}
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of a new environment: the wheel, and this one's packages but those of the repository."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "--quiet", "--wheel", PACKAGE, "--out-dir", tmp_path], check=True)
    (wheel,) = tmp_path.glob("dagster_clt_queued_run_coordinator-*.whl")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "--no-deps", wheel], check=True)
    # A folder that a .pth file names is searched, but its own .pth files, the editable installs, are not read.
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dagster.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_a_location_outside_this_repository_loads(python: Path, tmp_path: Path) -> None:
    """With the wheel installed, a code location's definitions and the coordinator are loaded from it."""
    location = tmp_path / "elsewhere"
    location.mkdir()
    (location / "definitions.py").write_text(DEFINITIONS)
    (location / "dagster.yaml").write_text(INSTANCE)

    def run(*arguments: str) -> str:
        command = [str(python), *arguments]
        environment = {"DAGSTER_HOME": str(location), "PATH": os.environ["PATH"]}
        done = subprocess.run(command, cwd=location, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-m", "dagster", "definitions", "validate", "--python-file", "definitions.py")
    loaded = run(
        "-c",
        "import sys, dagster\n"
        "coordinator = type(dagster.DagsterInstance.get().run_coordinator)\n"
        "print(coordinator.__name__, sys.modules[coordinator.__module__].__file__)",
    )
    assert loaded.startswith(f"CLTQueuedRunCoordinator {tmp_path}")
