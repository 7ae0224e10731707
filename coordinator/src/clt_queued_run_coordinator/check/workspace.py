"""The code locations that a workspace file names. The file is only read; nothing of Dagster's is loaded."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

FILE = "workspace.yaml"
CHARTS_FILE = Path("/dagster-workspace") / FILE
"""Where Dagster's Helm chart puts it in the daemon's and the webserver's containers."""


class WorkspaceError(Exception):
    """A workspace file can't be read; the message is one line with the cause."""


@dataclass(frozen=True)
class Workspace:
    """What a workspace file says.

    Attributes:
        file: The file.
        code_locations: The names that it gives.
        is_whole: Whether those are all: not where an entry leaves its name to Dagster.
        is_named: Whether somebody has named the file, so that it is the instance's for sure.
    """

    file: Path
    code_locations: frozenset[str]
    is_whole: bool
    is_named: bool = True

    def tells_of(self, code_locations: Collection[str]) -> bool:
        """Whether a name that isn't in the file doesn't exist.

        Args:
            code_locations: Those that are limited, or had runs. A file that was found and has none of them is most
                likely another instance's.
        """
        return self.is_whole and (self.is_named or not self.code_locations.isdisjoint(code_locations))


def read(file: Path) -> Workspace:
    """Read a workspace file.

    Raises:
        WorkspaceError: It can't be read or isn't one.
    """
    try:
        content: Any = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise WorkspaceError(f"{file} can't be read: {' '.join(str(error).split())}") from error
    entries = content.get("load_from") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise WorkspaceError(f"{file} is no workspace file: it has no list load_from")
    names = list(_names(entries))
    given = frozenset(name for name in names if name is not None)
    return Workspace(file, given, is_whole=None not in names)


def find() -> Workspace | None:
    """The workspace of the current folder, of DAGSTER_HOME or of Dagster's chart; None where none can be read."""
    home = os.environ.get("DAGSTER_HOME")
    files = [Path(FILE), *([Path(home) / FILE] if home else []), CHARTS_FILE]
    found = (_read_if_any(file) for file in files)
    return next((replace(workspace, is_named=False) for workspace in found if workspace), None)


def _read_if_any(file: Path) -> Workspace | None:
    try:
        return read(file) if file.is_file() else None
    except (OSError, ValueError, WorkspaceError):
        return None


def _names(entries: list[Any]) -> Iterator[str | None]:
    """The name that each entry gives, or None."""
    for entry in entries:
        targets = list(entry.values()) if isinstance(entry, dict) else [None]
        for target in targets:
            name = target.get("location_name") if isinstance(target, dict) else None
            yield name if isinstance(name, str) else None
