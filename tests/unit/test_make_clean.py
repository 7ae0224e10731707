"""`make clean`."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_removes_what_make_made_and_nothing_else(tmp_path: Path) -> None:
    """The environment, its links, the trial's state and the site go; the sources stay."""
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    location = tmp_path / "code_locations" / "billing"
    location.mkdir(parents=True)
    (location / "pyproject.toml").touch()
    (location / ".venv").symlink_to("../../.venv")
    for folder in (".venv", ".state", "site", "artifacts"):
        (tmp_path / folder).mkdir()
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {
        "Makefile",
        "code_locations",
        "code_locations/billing",
        "code_locations/billing/pyproject.toml",
    }
