"""Turns a fresh clone into a company's own repository: its names, its registry, its code locations.

`make adopt ORG=acme REGISTRY=registry.acme.example/dagster LOCATIONS="billing shop"` calls it. Everything
happens in a copy first, so a failure changes nothing.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import jinja2
import yaml

from scripts.adopted_texts import (
    slug,
    with_names,
    with_project,
    without_dead_links,
    without_pages,
    without_targets,
)
from scripts.location_name import FOLDER, LocationError, check_name
from scripts.new_location import add_location
from scripts.remove_location import remove_location
from scripts.repository import copy_files, files_of, git

REMOVED = (
    # what shows and measures the coordinator, and what only its own authors need
    ".ci",
    "CONTRIBUTING.md",
    "benchmarks",
    "demo",
    "docs/adopt.md",
    "docs/benchmarks.md",
    "docs/faults.md",
    "docs/get-started.md",
    "docs/upstream.md",
    "docs/when-to-use-it.md",
    "docs/pictures/runs.png",
    "harness",
    "requirements/pictures.txt",
    "scripts/pictures.py",
    # the tests that need the sample code locations, or more time than a change of a code location should take
    "tests/README.md",
    "tests/artifacts.py",
    "tests/benchmarks",
    "tests/compose",
    "tests/e2e*",
    "tests/faults",
    "tests/fuzz/strategies.py",
    "tests/fuzz/test_*.py",
    "tests/images",
    "tests/monitoring/conftest.py",
    "tests/overlays",
    "tests/system/conftest.py",
    "tests/system/launch_ways.py",
    "tests/system/spoofing.py",
    # this command
    "scripts/adopt.py",
    "scripts/adopted_texts.py",
    "templates/company",
)
"""What a company's repository doesn't need, and with it the tests that import it.

The coordinator and the tests that hold it to its limits stay.
"""

_OWN_MODULE = re.compile(r"^(?:from|import) ((?:benchmarks|demo|harness|scripts|tests)(?:\.\w+)*)", re.MULTILINE)

TARGETS = (
    "adopt",
    "bench",
    "bench-cluster",
    "bench-rollout",
    "bench-sizing",
    "bench-sizing-cluster",
    "compose-test",
    "demo",
    "demo-fair",
    "e2e",
    "e2e-images",
    "e2e-overlays",
    "e2e-overlays-images",
    "e2e-restore",
    "e2e-rollout",
    "e2e-rollout-images",
    "e2e-upgrade",
    "e2e-upgrade-images",
    "faults",
    "pictures",
    "soak",
    "two-daemons",
)
"""The Makefile's targets that go with them."""

NEXT = """\
Next:
  make lint test                 check it
  make dev                       see your code locations
  git add --all && git commit    keep it
Then write your definitions in code_locations/, choose limits and the database in deploy/values.yaml, set up the
workflows (docs/releases.md), and note how to take later versions of the template (docs/updates.md)."""

COORDINATORS_TESTS = "tests/in_process"
"""They take minutes, so `make test-coordinator` and `make versions` run them, and `make test` doesn't."""

RENDERED = {"README.md": "README.md.jinja", "docs/index.md": "index.md.jinja"}
EXAMPLES = ("deploy/*.yaml", "deploy/compose/*.yaml", "compose.yaml", "dagster.yaml", ".github/workflows/*.yml")
"""Files whose comments name the sample code locations."""


def adopt(root: Path, org: str, registry: str, locations: Sequence[str]) -> None:
    """Turn a copy of the repository into a company's own.

    Args:
        root: The root of the copy; nothing else uses it.
        org: The company's name, as people write it.
        registry: Where images go, without a name of an image.
        locations: The names of its code locations.

    Raises:
        LocationError: A code location can't have its name.
    """
    samples = sorted(file.parent.name for file in (root / FOLDER).glob("*/pyproject.toml"))
    for location in locations:
        add_location(root, location)
    for sample in samples:
        remove_location(root, sample)
    templates = jinja2.Environment(  # noqa: S701 - Markdown
        loader=jinja2.FileSystemLoader(root / "templates" / "company"), keep_trailing_newline=True
    )
    pages = {
        page: templates.get_template(name).render(org=org, registry=registry, locations=locations)
        for page, name in RENDERED.items()
    }
    for pattern in REMOVED:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for test in root.glob("tests/**/test_*.py"):
        if any(not _is_module(root, module) for module in _OWN_MODULE.findall(test.read_text())):
            test.unlink()
    for page, text in pages.items():
        (root / page).write_text(text)
    _edit_texts(root, org, registry, locations)


def _edit_texts(root: Path, org: str, registry: str, locations: Sequence[str]) -> None:
    def is_there(path: str) -> bool:
        return (root / path).exists()

    def gone(path: str) -> bool:
        return not is_there(path)

    def makefile(text: str) -> str:
        text = re.sub(r"# The sensor of code-location-b.*\n", "", text).replace(" NEW_ORDERS=on", "")
        text = re.sub(r"^\t.*(shellcheck|requirements/pictures\.txt).*\n", "", text, flags=re.MULTILINE)
        text = text.replace("both code locations", "all code locations").replace("; `make test` runs them too", "")
        text = re.sub(r" --ignore (\S+)", lambda m: "" if gone(m[1]) else m[0], text)
        text = re.sub(
            r"^(\t\S*pytest .*--ignore .*)", rf"\1 --ignore {COORDINATORS_TESTS}", text, flags=re.MULTILINE
        )
        return without_targets(text, TARGETS)

    def mkdocs(text: str) -> str:
        text = re.sub(
            r"^site_(name|description): .*", rf"site_\1: The Dagster deployment of {org}", text, flags=re.M
        )
        pages = re.findall(r": (\S+\.md)$", text, re.MULTILINE)
        return without_pages(text, {page for page in pages if gone(f"docs/{page}") and gone(page)})

    def docs_site(text: str) -> str:
        return re.sub(r' ?"([^"]+\.md)",?', lambda m: "" if gone(m[1]) else m[0], text)

    edits: list[tuple[str, Callable[[str], str]]] = [
        ("Makefile", makefile),
        ("mkdocs.yml", mkdocs),
        ("scripts/docs_site.py", docs_site),
        ("pyproject.toml", lambda text: with_project(text, org, gone)),
        ("requirements/*.txt", lambda text: _relabelled(text, org, locations)),
        *((pattern, lambda text: with_names(text, locations)) for pattern in EXAMPLES),
    ]
    old = _registry_of(root)
    edits += [(pattern, lambda text: text.replace(old, registry)) for pattern in (*EXAMPLES, "**/*.md")]
    for pattern, edit in edits:
        for file in root.glob(pattern):
            file.write_text(edit(file.read_text()))
    for file in root.glob("**/*.md"):
        page = file.relative_to(root).as_posix()
        file.write_text(without_dead_links(file.read_text(), page, is_there))


def _relabelled(lock: str, org: str, locations: Sequence[str]) -> str:
    """A lock whose comments name the company's projects; `make lock` would write them so."""
    return with_names(lock, locations).replace("dagster-code-locations (", f"{slug(org)}-dagster (")


def _is_module(root: Path, name: str) -> bool:
    path = root / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def _registry_of(root: Path) -> str:
    image = yaml.safe_load((root / "deploy" / "values.yaml").read_text())["dagsterWebserver"]["image"]
    return str(image["repository"]).rpartition("/")[0]


def check_arguments(root: Path, org: str, registry: str, locations: Sequence[str]) -> None:
    """Refuse what can't be a company's name, a registry or the names of code locations.

    Raises:
        LocationError: The first thing that is wrong, and what would be right.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w&., -]{0,60}", org):
        raise LocationError(f"ORG={org!r} can't be used: write your company's name, such as ORG=acme")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*", registry):
        raise LocationError(
            f"REGISTRY={registry!r} can't be used: write host and path without a scheme and in lower case,"
            " such as REGISTRY=registry.acme.example/dagster"
        )
    if not locations:
        raise LocationError(
            'LOCATIONS is empty: write the names of your code locations, such as LOCATIONS="billing shop"'
        )
    for location in locations:
        check_name(root, location)
        if locations.count(location) > 1:
            raise LocationError(f"LOCATIONS names {location!r} twice; write each name once")


def replace_files(root: Path, adopted: Path) -> None:
    """Make the repository what the adopted copy is; if that fails, git brings back what was there."""
    before = set(files_of(root))
    after = {file.relative_to(adopted).as_posix() for file in adopted.rglob("*") if file.is_file()}
    made = [file for file in after if not (root / file).exists()]
    try:
        for file in before - after:
            (root / file).unlink(missing_ok=True)
        for file in after:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(adopted / file, root / file)
    except BaseException:
        for file in made:
            (root / file).unlink(missing_ok=True)
        git(root, "checkout", "--force", "--", ".")
        raise
    for folder in {parent for file in before - after for parent in Path(file).parents}:
        if not (adopted / folder).exists():
            shutil.rmtree(root / folder, ignore_errors=True)  # what git ignores, such as __pycache__


def _refuse_a_dirty_tree(root: Path) -> None:
    try:
        changed = git(root, "status", "--porcelain")
    except (OSError, subprocess.CalledProcessError) as error:
        raise LocationError("this is no git repository; clone the template with git clone first") from error
    if changed:
        raise LocationError("the repository has changes that are not committed; commit or stash them first")


def main() -> None:
    """Adopt the repository in the current folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--org", required=True)
    parser.add_argument("--registry", required=True)
    parser.add_argument("--locations", required=True)
    options = parser.parse_args()
    root, locations = Path.cwd(), options.locations.split()
    try:
        check_arguments(root, options.org, options.registry, locations)
        _refuse_a_dirty_tree(root)
        with TemporaryDirectory() as folder:
            copy_files(root, Path(folder))
            adopt(Path(folder), options.org, options.registry, locations)
            replace_files(root, Path(folder))
    except (LocationError, OSError) as error:
        sys.exit(f"adopt: {error}")
    print(f"This is the repository of {options.org} now, with {', '.join(locations)}. Nothing is committed yet.")
    print(NEXT)


if __name__ == "__main__":
    main()
