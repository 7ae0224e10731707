"""Adds a code location: its project, rendered from `templates/location`, and its entries in the other files.

`make new-location NAME=billing` calls it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import copier

from scripts.all_or_nothing import write_all
from scripts.location_entries import ENTRIES
from scripts.location_name import FOLDER, LocationError, check_name

TEMPLATE = Path("templates") / "location"


def add_location(root: Path, name: str) -> None:
    """Add a code location to the repository, or change nothing.

    Args:
        root: The root of the repository.
        name: The name of the code location.

    Raises:
        LocationError: It can't be added; the message says why.
    """
    check_name(root, name)
    texts = {root / file: entry.add((root / file).read_text(), name) for file, entry in ENTRIES.items()}
    with TemporaryDirectory() as folder:
        project = _render(root, name, Path(folder) / FOLDER / name)
        _lock(root, name, Path(folder))
        target = root / FOLDER / name
        try:
            shutil.copytree(project, target)
            write_all(texts)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise


def _render(root: Path, name: str, folder: Path) -> Path:
    copier.run_copy(str(root / TEMPLATE), folder, data={"name": name}, defaults=True, quiet=True)
    return folder


def _lock(root: Path, name: str, workspace: Path) -> None:
    """Write the requirements.txt of a project that lies in a workspace of its own, as `make lock` would."""
    members = [file.relative_to(root).as_posix() for file in root.glob("*/pyproject.toml")]
    wheels = [file.relative_to(root).as_posix() for file in root.glob("wheels/*")]
    for file in ("Makefile", "pyproject.toml", "requirements/dev.txt", *members, *wheels):
        copy = workspace / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / file, copy)
    locked = subprocess.run(
        ["make", "lock", f"LOCATION={name}", f"VENV={sys.prefix}"],
        cwd=workspace,
        env={**os.environ, "UV_PYTHON": sys.executable},
        check=False,
        capture_output=True,
        text=True,
    )
    if locked.returncode:
        raise LocationError(
            f"the packages of {name!r} could not be locked; see what `make lock` says: {locked.stderr.strip()}"
        )


def main() -> None:
    """Add the code location that the command line names."""
    name = " ".join(sys.argv[1:])
    try:
        add_location(Path.cwd(), name)
    except (LocationError, OSError) as error:
        sys.exit(f"new-location: {error}")
    print(
        f"{FOLDER}/{name} is a new code location; {', '.join(ENTRIES)} have an entry for it.\n"
        "Its limit is the default one. `make dev` shows it, `make lint test` checks it."
    )


if __name__ == "__main__":
    main()
