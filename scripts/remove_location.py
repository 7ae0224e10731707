"""Removes a code location: its project and its entries in the other files.

`make remove-location NAME=billing` calls it.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.all_or_nothing import write_all
from scripts.location_entries import ENTRIES, without_limit
from scripts.location_name import FOLDER, LocationError

_OPTION = ("code_location_limits", "locations")
_VALUES = ("dagsterDaemon", "runCoordinator", "config", "customRunCoordinator", "config", *_OPTION)
LIMITS = {
    "dagster.yaml": ("run_coordinator", "config", *_OPTION),
    "deploy/compose/dagster.yaml": ("run_coordinator", "config", *_OPTION),
    "deploy/values.yaml": _VALUES,
    "deploy/test-cluster.yaml": _VALUES,
}
"""Where a code location may have a limit of its own."""


def remove_location(root: Path, name: str) -> None:
    """Remove a code location from the repository, or change nothing.

    Args:
        root: The root of the repository.
        name: The name of the code location.

    Raises:
        LocationError: It can't be removed; the message says why.
    """
    folder = root / FOLDER / name
    if not name or not (folder / "pyproject.toml").exists():
        raise LocationError(f"{FOLDER} has no code location {name!r}")
    texts = {root / file: (root / file).read_text() for file in ENTRIES.keys() | LIMITS.keys()}
    for file, entry in ENTRIES.items():
        texts[root / file] = entry.remove(texts[root / file], name)
    for file, path in LIMITS.items():
        texts[root / file] = without_limit(texts[root / file], path, name)
    with TemporaryDirectory(dir=root / FOLDER, prefix=".") as removed:
        out = folder.rename(Path(removed) / name)
        try:
            write_all(texts)
        except BaseException:
            out.rename(folder)
            raise


def _refuse_to_lose_work(root: Path, name: str) -> None:
    """Refuse if the folder holds something that git could not bring back."""
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", f"{FOLDER}/{name}"],
        cwd=root,
        check=False,
        capture_output=True,
        text=True,
    )
    if changed.returncode or changed.stdout:
        raise LocationError(f"{FOLDER}/{name} has changes that are not committed; commit or stash them first")


def main() -> None:
    """Remove the code location that the command line names."""
    root, name = Path.cwd(), " ".join(sys.argv[1:])
    try:
        _refuse_to_lose_work(root, name)
        remove_location(root, name)
    except (LocationError, OSError) as error:
        sys.exit(f"remove-location: {error}")
    print(f"{FOLDER}/{name} is removed, and so are its entries in {', '.join(ENTRIES)} and its own limits.")


if __name__ == "__main__":
    main()
