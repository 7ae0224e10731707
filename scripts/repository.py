"""The files of the repository, as git knows them."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


def files_of(root: Path) -> Iterator[str]:
    """The files of the repository, without those that git ignores."""
    yield from filter(None, git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"))


def copy_files(root: Path, folder: Path) -> None:
    """Copy the files of a repository, as they are now."""
    for file in files_of(root):
        if (root / file).is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / file, folder / file)


def git(root: Path, *arguments: str) -> str:
    """What git prints in the repository.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout
