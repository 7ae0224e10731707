"""Which names a new code location may have."""

import importlib.util
import keyword
import re
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import yaml

FOLDER = "code_locations"
_LONGEST = 63
"""Of the name of a Kubernetes Service, which the user deployment's is."""
_TAKEN = {
    *("dagster-daemon", "dagster-dagster-webserver", "dagster-dagster-webserver-read-only", "dagster-login"),
    "dagster-queue-page",
    *("dagster-postgresql", "dagster-postgresql-headless", "pgbouncer"),
    *("daemon", "metrics", "page", "postgresql", "tables", "webserver"),
}
"""What the chart, `deploy/values.yaml`, the overlays and `compose.yaml` call their own."""


class LocationError(ValueError):
    """A code location can't be added or removed; the message says why."""


def package_of(name: str) -> str:
    """The Python package of a code location."""
    return name.replace("-", "_")


def check_name(root: Path, name: str) -> None:
    """Refuse a name that would not work as a folder, a Python package, an image and a Kubernetes Service.

    Args:
        root: The root of the repository.
        name: The name of the code location.

    Raises:
        LocationError: The name can't be used; the message says why.
    """
    if not name:
        raise LocationError("a name is missing: make new-location NAME=billing")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise LocationError(
            f"{name!r} can't be the name of an image and of a Kubernetes Service:"
            " use lower-case letters, digits and single hyphens, and begin with a letter"
        )
    for reason in _objections(root, name):
        raise LocationError(f"{name!r} can't be used: {reason}; take another name")


def _objections(root: Path, name: str) -> Iterator[str]:
    package = package_of(name)
    if len(name) > _LONGEST:
        yield f"a Kubernetes Service takes at most {_LONGEST} characters"
    if name == "system":
        yield "the image of the daemon and the webserver has that name"
    if name in _TAKEN:
        yield "a part of the deployment has that name"
    if (read := yaml.safe_load(name)) != name:
        yield f"YAML reads it as {read!r}"
    if keyword.iskeyword(package):
        yield "it is a keyword of Python"
    if (root / FOLDER / name).exists():
        yield f"{FOLDER}/{name} exists"
    if (root / package).exists() or _is_module(root, package):
        yield f"there is a module {package!r}"
    if name in _installed():
        yield "an installed package has that name"


def _is_module(root: Path, package: str) -> bool:
    """Whether Python finds a module of that name, other than one of a code location that was removed."""
    if package in sys.stdlib_module_names:
        return True
    found = importlib.util.find_spec(package)
    if found is None:
        return False
    places = [found.origin] if found.origin else list(found.submodule_search_locations or [])
    return not all((root / FOLDER) in Path(place).parents for place in places)


def _installed() -> set[str]:
    """The names of the packages that came from an index, as pip writes them."""
    return {
        re.sub(r"[-_.]+", "-", package.name).lower()
        for package in distributions()
        if package.read_text("direct_url.json") is None  # it has one if it was installed from a folder
    }
