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
from typing import Literal

import jinja2
import yaml

from scripts.adopted_texts import kept, slug, with_names, without_dead_links
from scripts.location_name import FOLDER, LocationError, check_name
from scripts.new_location import add_location
from scripts.remove_location import remove_location
from scripts.repository import copy_files, files_of, git

Coordinator = Literal["source", "wheel"]
"""What an adopted repository has of the coordinator's package."""
_KINDS: dict[str, Coordinator] = {"source": "source", "wheel": "wheel"}

REMOVED = (
    # what shows the template, and how it is changed
    ".ci",
    "CHANGELOG.md",
    "AGENTS.md",
    "CONTRIBUTING.md",
    "demo",
    "docs/adopt.md",
    "docs/get-started.md",
    "docs/pictures/fair.png",
    "docs/pictures/runs.png",
    "requirements/pictures.txt",
    "scripts/pictures.py",
    # the tests that launch runs of the sample code locations
    "tests/README.md",
    "tests/e2e",
    "tests/system/conftest.py",
    "tests/system/test_demo*.py",
    "tests/system/test_login.py",
    "tests/system/test_make_dev.py",
    "tests/system/test_prometheus.py",
    "tests/system/test_reload.py",
    "tests/unit/test_rollout_report.py",
    # this command
    "scripts/adopt.py",
    "scripts/adopted_texts.py",
    "templates/company",
    "tests/system/test_adopt.py",
    "tests/unit/test_adopted_texts.py",
)
"""What a company's repository doesn't need."""
REMOVED_WITH_THE_SOURCE = (".github/workflows/wheel.yml", "coordinator", "requirements/browser.txt")
"""What goes too where the package comes from its wheel."""

WHEELS = "wheels"
"""The folder of the wheel, in an adopted repository that has no source."""
NAMED = {
    ".dockerignore": [("!coordinator\n", "")],
    ".github/workflows/location.yml": [
        ("-- coordinator ", f"-- {WHEELS} "),
        ("coordinator/ has", f"{WHEELS}/ has"),
    ],
    "Dockerfile": [
        (
            "The folder with the coordinator's source, or with its wheel.",
            "The folder with the coordinator's wheel.",
        ),
        ("COORDINATOR=coordinator", f"COORDINATOR={WHEELS}"),
    ],
    "Makefile": [
        ("is: a folder with its source, or with its wheel.", "is: a folder with its wheel."),
        ("COORDINATOR := coordinator", f"COORDINATOR := {WHEELS}"),
    ],
    "docs/releases.md": [("if\n`coordinator/` has", f"if\n`{WHEELS}/` has")],
}
"""The places that name the folder of the source, and what they name where there is a wheel."""

NEXT = """\
Next:
  make lint test                 check it
  make dev                       see your code locations
  git add --all && git commit    keep it
Then write your definitions in code_locations/, choose limits and the database in deploy/values.yaml, set up the
workflows (docs/releases.md), and note how to take later versions of the template (docs/upgrade.md)."""

RENDERED = {"README.md": "README.md.jinja", "docs/index.md": "index.md.jinja"}
EXAMPLES = (
    *("deploy/*.yaml", "deploy/compose/*.yaml", "deploy/overlays/*/manifests/*.yaml"),
    *("compose.yaml", "dagster.yaml", ".github/workflows/*.yml"),
)
"""Files whose comments name the sample code locations."""


def adopt(
    root: Path, org: str, registry: str, locations: Sequence[str], coordinator: Coordinator = "source"
) -> None:
    """Turn a copy of the repository into a company's own.

    Args:
        root: The root of the copy; nothing else uses it.
        org: The company's name, as people write it.
        registry: Where images go, without a name of an image.
        locations: The names of its code locations.
        coordinator: Whether the repository keeps the source of the coordinator's package, or takes its wheel.

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
    names = {"org": org, "registry": registry, "locations": locations, "coordinator": coordinator}
    pages = {page: templates.get_template(name).render(names) for page, name in RENDERED.items()}
    if coordinator == "wheel":
        _take_the_wheel(root)
    for pattern in (*REMOVED, *(REMOVED_WITH_THE_SOURCE if coordinator == "wheel" else ())):
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for page, text in pages.items():
        (root / page).write_text(text)
    _edit_texts(root, org, registry, locations, coordinator)


def _take_the_wheel(root: Path) -> None:
    """Build the coordinator's wheel, and let every file that names its source name the wheel."""
    uv = [str(Path(sys.prefix) / "bin" / "uv"), "build", "--quiet", "--wheel", "coordinator"]
    subprocess.run([*uv, "--out-dir", WHEELS], cwd=root, check=True)
    (root / WHEELS / ".gitignore").unlink()  # uv leaves out what it builds
    (wheel,) = (root / WHEELS).glob("*.whl")
    source = (
        "queued-run-coordinator = { workspace = true }",
        f'queued-run-coordinator = {{ path = "{WHEELS}/{wheel.name}" }}',
    )
    for file, changes in {**NAMED, "pyproject.toml": [source]}.items():
        text = (root / file).read_text()
        for before, after in changes:
            if before not in text:
                raise LocationError(
                    f"{file} has no {before.strip()!r} any more: correct NAMED in scripts/adopt.py"
                )
            text = text.replace(before, after)
        (root / file).write_text(text)


def _edit_texts(root: Path, org: str, registry: str, locations: Sequence[str], coordinator: Coordinator) -> None:
    def is_there(path: str) -> bool:
        return (root / path).exists()

    def mkdocs(text: str) -> str:
        return re.sub(
            r"^site_(name|description): .*", rf"site_\1: The Dagster deployment of {org}", text, flags=re.M
        )

    def project(text: str) -> str:
        text = text.replace('name = "dagster-code-locations"', f'name = "{slug(org)}-dagster"')
        return re.sub(r"^description = .*", f'description = "The Dagster deployment of {org}"', text, flags=re.M)

    everywhere = [file for file in root.rglob("*") if file.is_file() and file.suffix in _WITH_PARTS]
    for file in [*everywhere, root / "Makefile", root / "Dockerfile"]:
        file.write_text(kept(file.read_text(), source=coordinator == "source"))
    edits: list[tuple[str, Callable[[str], str]]] = [
        ("mkdocs.yml", mkdocs),
        ("pyproject.toml", project),
        ("requirements/*.txt", lambda text: _relabelled(text, org, locations, coordinator)),
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


_WITH_PARTS = {".md", ".toml", ".yaml", ".yml"}
"""The files that may have parts of the template's own, beside the Makefile and the Dockerfile."""


def _relabelled(lock: str, org: str, locations: Sequence[str], coordinator: Coordinator) -> str:
    """A lock whose comments name the company's projects; `make lock` would write them so."""
    if coordinator == "wheel":
        lock = lock.replace(" (coordinator/pyproject.toml)", "")
    if len(locations) == 1:  # nobody stands for the second sample
        lock = re.sub(r"^ +#   .*code-location-b.*\n", "", lock, flags=re.M)
    return with_names(lock, locations).replace("dagster-code-locations (", f"{slug(org)}-dagster (")


def _registry_of(root: Path) -> str:
    image = yaml.safe_load((root / "deploy" / "values.yaml").read_text())["dagsterWebserver"]["image"]
    return str(image["repository"]).rpartition("/")[0]


def check_arguments(
    root: Path, org: str, registry: str, locations: Sequence[str], coordinator: str = "source"
) -> Coordinator:
    """Refuse what can't be a company's name, a registry, the names of code locations, or a kind of coordinator.

    Raises:
        LocationError: The first thing that is wrong, and what would be right.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w&., -]{0,60}", org):
        raise LocationError(
            f"ORG={org!r} can't be used: write your company's name with letters, digits, blanks and & . , - _,"
            " beginning with one of A to Z or a digit, such as ORG=acme"
        )
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
    if coordinator in _KINDS:
        return _KINDS[coordinator]
    raise LocationError(
        f"COORDINATOR={coordinator!r} can't be used: write source, to keep the folder coordinator/, or wheel"
    )


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
    parser.add_argument("--coordinator", default="source")
    options = parser.parse_args()
    root, locations = Path.cwd(), options.locations.split()
    try:
        coordinator = check_arguments(root, options.org, options.registry, locations, options.coordinator)
        _refuse_a_dirty_tree(root)
        with TemporaryDirectory() as folder:
            copy_files(root, Path(folder))
            adopt(Path(folder), options.org, options.registry, locations, coordinator)
            replace_files(root, Path(folder))
    except (LocationError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"adopt: {error}")
    print(f"This is the repository of {options.org} now, with {', '.join(locations)}. Nothing is committed yet.")
    print(NEXT)


if __name__ == "__main__":
    main()
