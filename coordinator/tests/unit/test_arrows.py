"""A folder of the package imports only from itself and those below it, as coordinator/docs/internals.md says."""

import ast
from pathlib import Path

import clt_queued_run_coordinator

BELOW = ("text", "config", "policy", "store", "submit", "daemon", "operate", "metrics", "page", "cli")
"""The folders, the lowest first."""


def test_no_folder_imports_from_one_above_it() -> None:
    """Whichever way a module is imported."""
    root = Path(clt_queued_run_coordinator.__file__).parent
    package = f"{root.name}."
    against = [
        f"{file.relative_to(root)} imports {node.module}"
        for file in sorted(root.rglob("*.py"))
        if (folder := file.relative_to(root).parts[0]) in BELOW
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package)
        if (other := (node.module or "").removeprefix(package).partition(".")[0]) in BELOW
        if BELOW.index(other) > BELOW.index(folder)
    ]
    assert against == []
