"""The GitHub workflows, which don't run here: what they name exists."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

pytestmark = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)


def jobs(workflow: Path) -> list[dict[str, Any]]:
    """The jobs of a workflow."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(workflow.read_text())["jobs"]
    return list(found.values())


def commands(workflow: Path) -> str:
    """All shell commands of a workflow."""
    return "\n".join(step.get("run", "") for job in jobs(workflow) for step in job.get("steps", []))


def test_every_make_target_exists(workflow: Path) -> None:
    """What a workflow makes is a target of the Makefile."""
    for folder, target in re.findall(r"\bmake (?:-C (\w+) )?([a-z][a-z-]*)", commands(workflow)):
        assert f"\n{target}:" in (ROOT / folder / "Makefile").read_text()


def test_every_path_exists(workflow: Path) -> None:
    """Folders and files that a command names are in the repository."""
    named = re.findall(
        r"(?<![\w./#-])((?:tests|code_locations|coordinator|requirements|deploy|scripts)/[\w./-]*)",
        commands(workflow),
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_nox_session_exists(workflow: Path) -> None:
    """A session that a workflow runs is one of the noxfile."""
    for noxfile, session in re.findall(r"nox --noxfile (\S+) --session (\w+)", commands(workflow)):
        assert f"\ndef {session}(" in (ROOT / noxfile).read_text()


def test_every_called_workflow_exists(workflow: Path) -> None:
    """A workflow of this repository that a job calls is there, and may be called."""
    for job in jobs(workflow):
        if called := job.get("uses"):
            assert "workflow_call:" in (ROOT / called).read_text()


def test_every_action_is_pinned(workflow: Path) -> None:
    """An action of somebody else is named by its commit, with its version beside it."""
    for uses in re.findall(r"uses: (.*)", workflow.read_text()):
        assert uses.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", uses)
