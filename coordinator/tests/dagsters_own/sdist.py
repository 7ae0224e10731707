"""Dagster's own tests, which its source distribution carries and its wheel does not."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".cache" / "dagster-sdist"
"""Where the tests are kept, outside of version control: nothing of Dagster's code is part of this repository."""


def dagsters_tests(version: str) -> Path:
    """The folder that holds Dagster's package `dagster_tests`, downloaded where it isn't there yet.

    Args:
        version: The Dagster version, with its patch.

    Raises:
        RuntimeError: The source distribution can't be had.
    """
    folder = FOLDER / version
    if not folder.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as temporary:
            archive = _download(version, Path(temporary))
            with tarfile.open(archive) as content:
                content.extractall(temporary, filter="data")
            # The package alone: the source of Dagster itself beside it would hide the installed one.
            found = Path(temporary) / f"dagster-{version}" / "dagster_tests"
            if not found.is_dir():
                raise RuntimeError(
                    f"{archive.name} carries no dagster_tests; see what this Dagster ships instead."
                )
            whole = Path(temporary) / "whole"
            whole.mkdir()
            shutil.move(found, whole / found.name)
            whole.rename(folder)
    return folder


def _download(version: str, folder: Path) -> Path:
    requirement = f"dagster=={version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "--no-binary", "dagster", "--dest", str(folder), requirement],
        check=False,
        stderr=subprocess.PIPE,
        text=True,
    )
    archives = list(folder.glob("dagster-*.tar.gz"))
    if done.returncode or not archives:
        cause = (done.stderr.strip().splitlines() or ["pip left no archive"])[-1]
        raise RuntimeError(
            f"Dagster's own tests need the source distribution of {requirement}, which pip can't download: {cause}"
        )
    return archives[0]
