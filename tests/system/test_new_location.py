"""A code location that `make new-location` added to a copy of the repository, and Dagster's command `dg`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.location_entries import ENTRIES
from scripts.location_name import FOLDER, LocationError, package_of
from scripts.new_location import add_location
from scripts.remove_location import remove_location
from scripts.repository import copy_files

ROOT = Path(__file__).parents[2]

NAME = "billing-of-a-test"
PACKAGE = package_of(NAME)
PROJECT = f"{FOLDER}/{NAME}"


def files_in(folder: Path) -> dict[str, bytes]:
    """The content of each file in a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with the new code location."""
    folder = tmp_path_factory.mktemp("repository")
    copy_files(ROOT, folder)
    add_location(folder, NAME)
    for project in (folder / FOLDER).iterdir():  # as `make setup` does
        (project / ".venv").symlink_to(sys.prefix)
    return folder


def run(repository: Path, folder: str, program: str, *arguments: str) -> str:
    """What one of the environment's programs prints in a folder of the copy; it must succeed."""
    answer = subprocess.run(
        [str(Path(sys.prefix) / "bin" / program), *arguments],
        cwd=repository / folder,
        env={
            **os.environ,
            "PYTHONPATH": str(repository / PROJECT / "src"),
            "VIRTUAL_ENV": sys.prefix,
            "DAGSTER_HOME": "",
        },
        check=False,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_its_own_tests_pass_and_the_files_agree(repository: Path) -> None:
    """The project's tests load its definitions and materialize its asset; each file that must name it does."""
    run(repository, ".", "pytest", "--quiet", f"{PROJECT}/tests", "tests/unit/test_files_agree.py")


def test_it_passes_the_style_checks(repository: Path) -> None:
    """Whatever its name is, what the template writes is formatted and typed as the rest."""
    run(repository, ".", "ruff", "check", PROJECT)
    run(repository, ".", "ruff", "format", "--check", PROJECT)


def test_the_values_pass_their_check(repository: Path) -> None:
    """The deployment with the new code location has no finding."""
    run(repository, ".", "dagster-clt", "check", "--values", "deploy/values.yaml")


def test_its_image_shares_the_packages_of_the_others(repository: Path) -> None:
    """Without comments the lock is that of the other code locations, so the Dockerfile's layer is the same."""
    locks = [
        [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
        for file in (repository / FOLDER).glob("*/requirements.txt")
    ]
    assert all(lock == locks[0] for lock in locks)


def test_dg_checks_the_workspace_and_lists_the_project(repository: Path) -> None:
    """`dg check defs` loads all code locations from the root; `dg list defs` finds the asset in the project."""
    assert "All definitions loaded successfully." in run(repository, ".", "dg", "check", "defs")
    assert f"{PACKAGE}/example" in run(repository, PROJECT, "dg", "list", "defs", "--json")


def test_a_failure_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the packages can't be locked, or a file can't be written, the repository is as it was."""
    copy_files(ROOT, tmp_path)
    before = files_in(tmp_path)

    (tmp_path / "requirements" / "dev.txt").write_text("no requirement\n")
    with pytest.raises(LocationError, match="could not be locked"):
        add_location(tmp_path, NAME)
    (tmp_path / "requirements" / "dev.txt").write_bytes(before["requirements/dev.txt"])
    assert files_in(tmp_path) == before

    monkeypatch.setattr("scripts.new_location._lock", lambda *_: None)
    write_text, last = Path.write_text, tmp_path / list(ENTRIES)[-1]

    def full_disk(file: Path, *arguments: Any, **options: Any) -> int:
        if file == last:
            raise OSError(28, "No space left on device")
        return write_text(file, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="No space left"):
        add_location(tmp_path, NAME)
    assert files_in(tmp_path) == before


def test_removing_every_sample_leaves_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's own code locations can take the place of the samples."""
    copy_files(ROOT, tmp_path)
    monkeypatch.setattr("scripts.new_location._lock", lambda *_: None)
    samples = [file.parent.name for file in (tmp_path / FOLDER).glob("*/pyproject.toml")]
    add_location(tmp_path, NAME)
    for sample in samples:
        remove_location(tmp_path, sample)
    values = yaml.safe_load((tmp_path / "deploy" / "values.yaml").read_text())
    assert [each["name"] for each in values["dagster-user-deployments"]["deployments"]] == [NAME]
    assert [folder.name for folder in (tmp_path / FOLDER).iterdir()] == [NAME]
    with pytest.raises(LocationError, match="the only code location"):
        remove_location(tmp_path, NAME)
