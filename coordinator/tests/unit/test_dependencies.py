"""What the package imports is what it declares."""

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import clt_queued_run_coordinator
import tomlkit

OWN = "clt_queued_run_coordinator"
PROJECT = Path(__file__).parents[2] / "pyproject.toml"
DOORS = {"dagster_deploy_tools"}
"""Asked for only where it is installed; see `dagster-clt check --values` and `dagster-clt reload`."""


def imported() -> set[str]:
    """The top-level modules that the package's sources import, without Python's and its own."""
    names = set()
    for file in Path(clt_queued_run_coordinator.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {OWN} - DOORS


def declared() -> set[str]:
    """The distributions that the package requires, those of its extras among them."""
    project = tomlkit.parse(PROJECT.read_text()).unwrap()["project"]
    extras = project["optional-dependencies"].values()
    requirements = [*project["dependencies"], *(requirement for extra in extras for requirement in extra)]
    return {re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


def test_every_import_is_a_declared_dependency() -> None:
    """Otherwise a Dagster that no longer requires one would take it away."""
    distributions = metadata.packages_distributions()
    needed = {name: {of.lower().replace("_", "-") for of in distributions[name]} for name in imported()}
    assert {name for name, of in needed.items() if not of & declared()} == set()


def test_nothing_is_declared_that_is_not_imported() -> None:
    """An image should not carry it."""
    distributions = metadata.packages_distributions()
    used = {of.lower().replace("_", "-") for name in imported() for of in distributions[name]}
    assert declared() <= used
