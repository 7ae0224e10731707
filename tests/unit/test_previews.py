"""Previews of pull requests, with stand-ins for kubectl and helm."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREVIEW = ROOT / "deploy" / "previews" / "preview"
SERVICES = {
    "items": [
        {"metadata": {"name": name}, "spec": {"ports": [{"port": 3030}]}} for name in ("billing", "pr-12-billing")
    ]
}
KUBECTL = """#!/bin/sh
echo "kubectl $*" >> "$CALLS"
case "$*" in
  *"get services"*) cat "$SERVICES" ;;
  *apply*) cat > "$APPLIED" ;;
  *" drain "*) [ -z "$BUSY" ] ;;
esac
"""
HELM = '#!/bin/sh\necho "helm $*" >> "$CALLS"\n'

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is missing; on Debian: apt-get install jq")


def run(folder: Path, *arguments: str, busy: str = "") -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the program; its answer and the calls that it made."""
    (folder / "services.json").write_text(json.dumps(SERVICES))
    for name, text in (("kubectl", KUBECTL), ("helm", HELM)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "CALLS": str(folder / "calls"),
        "SERVICES": str(folder / "services.json"),
        "APPLIED": str(folder / "applied.json"),
        "BUSY": busy,
    }
    answer = subprocess.run([PREVIEW, *arguments], env=environment, capture_output=True, text=True, check=False)
    calls = folder / "calls"
    return answer, calls.read_text().splitlines() if calls.exists() else []


def words(calls: list[str]) -> list[str]:
    """What each call is about."""
    known = ("upgrade", "uninstall", "get services", "apply", "--cancel-queued", "drain", "resume")
    return [next(word for word in known if word in call) for call in calls]


def test_a_preview_is_installed_and_then_named_in_the_workspace(tmp_path: Path) -> None:
    """Of every code server, so that no preview is lost however many come at once."""
    answer, calls = run(tmp_path, "deploy", "pr-12-billing", "dist/pr-12-billing.yaml")
    assert answer.returncode == 0, answer.stderr
    assert sorted(words(calls)[1:]) == ["apply", "get services"]
    assert words(calls)[0] == "upgrade"
    written = json.loads((tmp_path / "applied.json").read_text())
    assert written["metadata"]["name"] == "dagster-workspace"
    assert json.loads(written["data"]["workspace.yaml"])["load_from"] == [
        {"grpc_server": {"host": name, "port": 3030, "location_name": name}}
        for name in ("billing", "pr-12-billing")
    ]


def test_its_runs_end_before_it_goes_and_its_queue_is_cancelled_after(tmp_path: Path) -> None:
    """And no pause of it stays."""
    answer, calls = run(tmp_path, "remove", "pr-12-billing")
    assert answer.returncode == 0, answer.stderr
    assert [word for word in words(calls) if word not in {"get services", "apply"}] == [
        "drain",
        "uninstall",
        "--cancel-queued",
        "resume",
    ]


def test_while_runs_are_in_progress_nothing_is_removed(tmp_path: Path) -> None:
    """`drain` gives up after ten minutes; the next try goes on."""
    answer, calls = run(tmp_path, "remove", "pr-12-billing", busy="yes")
    assert answer.returncode == 1
    assert words(calls) == ["drain"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["remove"],
        ["remove", "billing"],
        ["remove", "pr-"],
        ["remove", "pr-1 --all"],
        ["deploy", "pr-1"],
        ["x", "pr-1"],
    ],
    ids=str,
)
def test_what_is_no_preview_is_left_alone(tmp_path: Path, arguments: list[str]) -> None:
    """Its name begins with pr-, so a real code location can't be removed by mistake."""
    answer, calls = run(tmp_path, *arguments)
    assert answer.returncode == 2
    assert "preview remove NAME" in answer.stderr
    assert calls == []
