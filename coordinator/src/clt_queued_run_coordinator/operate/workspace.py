"""The code locations in a workspace file. Reads only the file: loading the workspace would start code servers."""

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from clt_queued_run_coordinator.text.refusal import RefusalError

FILE = "workspace.yaml"
CHARTS_FILE = Path("/dagster-workspace") / FILE
"""Where Dagster's Helm chart mounts it in the daemon's and the webserver's containers."""


@dataclass(frozen=True)
class Workspace:
    """The content of a workspace file.

    Attributes:
        is_complete: Whether every entry has a `location_name`; Dagster makes up the name of one that has none.
        is_chosen: Whether the user chose the file, so that it surely belongs to the instance.
    """

    file: Path
    code_locations: frozenset[str]
    is_complete: bool
    is_chosen: bool = True

    def is_authoritative(self, code_locations: Collection[str]) -> bool:
        """Whether a code location outside the file doesn't exist, given those that have a limit or had runs.

        If the file has none of them and nobody chose it, it most likely belongs to another instance.
        """
        return self.is_complete and (self.is_chosen or not self.code_locations.isdisjoint(code_locations))


def read(file: Path) -> Workspace:
    """Read a workspace file.

    Raises:
        RefusalError: It can't be read or isn't one.
    """
    try:
        content: Any = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        cause = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise RefusalError(f"{file} can't be read: {cause}; name another file.") from error
    entries = content.get("load_from") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise RefusalError(f"{file} is not a workspace file: it has no list `load_from`; name another file.")
    targets = [target for entry in entries for target in (entry.values() if isinstance(entry, dict) else [None])]
    names = [target.get("location_name") if isinstance(target, dict) else None for target in targets]
    given = frozenset(name for name in names if isinstance(name, str))
    return Workspace(file, given, is_complete=all(isinstance(name, str) for name in names))


def find() -> Workspace | None:
    """The workspace file in the current folder, in DAGSTER_HOME or where Dagster's chart mounts it, if any."""
    home = os.environ.get("DAGSTER_HOME")
    for file in [Path(FILE), *([Path(home) / FILE] if home else []), CHARTS_FILE]:
        with suppress(OSError, ValueError, RefusalError):
            if file.is_file():
                return replace(read(file), is_chosen=False)
    return None
