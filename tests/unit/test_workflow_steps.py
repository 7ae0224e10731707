"""The steps of the GitHub workflows that work something out, run as GitHub would: with bash, and its variables."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LOCATION = sorted(file.parent.name for file in (ROOT / "code_locations").glob("*/pyproject.toml"))[0]

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is missing; on Debian: apt-get install jq")


def run(folder: Path, workflow: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """Run the step `plan` of a workflow; its answer and its outputs."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / workflow).read_text())["jobs"]
    (script,) = [step["run"] for job in jobs.values() for step in job.get("steps", []) if step.get("id") == "plan"]
    output = folder / "output"
    output.touch()
    answer = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "GITHUB_OUTPUT": str(output), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return answer, dict(line.split("=", 1) for line in output.read_text().splitlines())


@pytest.mark.parametrize("released", ["", "system", "system  billing"])
def test_a_release_builds_the_images_that_are_named(tmp_path: Path, released: str) -> None:
    """All of them if none is named."""
    answer, outputs = run(tmp_path, "release.yml", IMAGES=released, GITHUB_REF_NAME="v1.4.0")
    assert answer.returncode == 0, answer.stderr
    images = json.loads(outputs["images"])
    locations = [folder.name for folder in sorted((ROOT / "code_locations").iterdir()) if folder.is_dir()]
    assert images == (released.split() or ["system", *locations])
    assert outputs["version"] == "1.4.0"


@pytest.mark.parametrize(
    ("location", "version"),
    [(f"{LOCATION}/v1.2.3", f"{LOCATION}/v1.2.3"), (LOCATION, "1.2.3"), (LOCATION, "v1.2.3")],
)
def test_a_code_locations_release_knows_its_version(tmp_path: Path, location: str, version: str) -> None:
    """From the tag, or from what somebody types."""
    answer, outputs = run(tmp_path, "location.yml", LOCATION=location, VERSION=version)
    assert answer.returncode == 0, answer.stdout
    assert outputs == {"location": LOCATION, "version": "1.2.3"}


@pytest.mark.parametrize(
    ("location", "version"),
    [("../etc", "1.2.3"), ("nowhere", "1.2.3"), (LOCATION, "1 2"), (LOCATION, "$(id)"), (LOCATION, "")],
)
def test_what_is_no_release_of_a_code_location_ends_it(tmp_path: Path, location: str, version: str) -> None:
    """With a line that GitHub shows as an error, and no output."""
    answer, outputs = run(tmp_path, "location.yml", LOCATION=location, VERSION=version)
    assert answer.returncode == 1
    assert answer.stdout.startswith("::error::")
    assert outputs == {}


def test_labels_name_the_previews(tmp_path: Path) -> None:
    """Other labels, and what can't be a name, bring none."""
    labels = json.dumps(["bug", "preview/billing", "preview/", "preview/a b", "preview/$(id)", "preview/orders"])
    answer, outputs = run(tmp_path, "preview.yml", LABELS=labels, NUMBER="12", COMMIT="0123456789abcdef")
    assert answer.returncode == 0, answer.stderr
    assert outputs == {"locations": '["billing","orders"]', "version": "pr-12-0123456789ab"}
