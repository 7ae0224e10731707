"""`deploy/local-cluster`, with stand-ins for kind, k3d and the programs that it calls."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case " $* " in
  *" kubeconfig get "*) ;;
  *" get "*) exit 1 ;;
esac
"""


def run(
    folder: Path, *arguments: str, tools: tuple[str, ...] = ("kind",)
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run it in a copy with one code location; its answer and the calls that it made."""
    (folder / "deploy").mkdir()
    (folder / "code_locations" / "billing").mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "local-cluster", folder / "deploy")
    programs = folder / "bin"
    programs.mkdir()
    for name in (*tools, "kubectl", "make", "podman"):
        (programs / name).write_text(STAND_IN)
        (programs / name).chmod(0o755)
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "CALLS": str(folder / "calls"),
        "VERSION": "1",
        "HOME": "/",
    }
    answer = subprocess.run(
        [folder / "deploy" / "local-cluster", *arguments],
        env={**environment, "BUILDER": "podman", "TMPDIR": os.fspath(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = folder / "calls"
    return answer, calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.parametrize(
    ("tool", "created", "loaded"),
    [
        ("kind", "kind create cluster --name dagster", "kind load image-archive --name dagster"),
        ("k3d", "k3d cluster create dagster", "k3d image import --cluster dagster"),
    ],
)
def test_it_deploys_as_make_does(tmp_path: Path, tool: str, created: str, loaded: str) -> None:
    """A cluster, the images, the password, then `make deploy` with the values for a small cluster."""
    answer, calls = run(tmp_path, "deploy", tools=(tool,))
    assert answer.returncode == 0, answer.stderr
    expected = [
        created,
        "make images release-values VERSION=1 REGISTRY=localhost",
        "podman save",
        loaded,
        "podman save",
        loaded,
        "kubectl create namespace dagster",
        "kubectl --namespace dagster create secret generic dagster-postgresql-secret",
        "make deploy VALUES=dist/values.yaml deploy/test-cluster.yaml",
    ]
    places = iter(calls)
    assert all(any(call.startswith(begin) for call in places) for begin in expected), calls
    saved = [call.rpartition(" ")[2] for call in calls if call.startswith("podman save")]
    assert saved == ["localhost/system:1", "localhost/billing:1"]


def test_it_prints_only_the_kubeconfig(tmp_path: Path) -> None:
    """So that a script can take it."""
    answer, _ = run(tmp_path, "up")
    assert answer.stdout == f"{tmp_path}/.state/local-cluster/kubeconfig\n"


def test_without_a_tool_it_says_which_to_install(tmp_path: Path) -> None:
    """In one line, before anything is built."""
    answer, calls = run(tmp_path, "deploy", tools=())
    assert answer.returncode == 1
    assert answer.stderr.startswith("neither kind nor k3d is installed")
    assert calls == []


@pytest.mark.parametrize("arguments", [[], ["load"], ["up", "now"], ["usage"]], ids=str)
def test_wrong_usage_changes_nothing(tmp_path: Path, arguments: list[str]) -> None:
    """It prints what it can do."""
    answer, calls = run(tmp_path, *arguments)
    assert answer.returncode == 2
    assert "deploy/local-cluster deploy" in answer.stderr
    assert calls == []
