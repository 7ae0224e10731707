"""A copy of the repository that `make adopt` made a company's own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.adopt import REMOVED, REMOVED_WITH_THE_SOURCE, adopt, check_arguments, replace_files
from scripts.location_name import LocationError
from scripts.repository import copy_files

ROOT = Path(__file__).parents[2]
REGISTRY = "registry.acme.example/data"
LOCATIONS = ["billing-of-acme"]
COMMAND = re.compile(r"(?:`|\$ |^\t|^)make( [a-z][a-z0-9 -]*)", re.MULTILINE)
"""What make is told to do, in a page or in a comment."""
PATH = re.compile(
    r"(?<![\w./{}-])"
    r"((?:\.ci|benchmarks|code_locations|coordinator|demo|deploy|docs|harness|requirements|scripts|tests|tools)"
    r"/(?!billing\b|v\b|v\d)[\w./*-]*\w)"
)
"""Paths below a folder of the template; `coordinator/v2.1.0` is a tag, and `billing` an example of a new name."""
WRITES_WHAT_IT_NAMES = {"tests/unit/test_make_deploy.py"}


def run(repository: Path, program: str, *arguments: str) -> str:
    """What one of the environment's programs prints in the repository; it must succeed."""
    sources = [str(folder) for folder in repository.glob("code_locations/*/src")]
    done = subprocess.run(
        [str(Path(sys.prefix) / "bin" / program), *arguments],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sources), "VIRTUAL_ENV": sys.prefix, "DAGSTER_HOME": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git(repository: Path, *arguments: str) -> str:
    """What git prints in a repository."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", params=["source", "wheel"])
def adopted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adopted copy, a git repository too, with each kind of coordinator."""
    folder = tmp_path_factory.mktemp("adopted")
    copy_files(ROOT, folder)
    adopt(folder, "Acme & Co.", REGISTRY, LOCATIONS, request.param)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    return folder


def test_what_is_removed_was_there() -> None:
    """A file that was renamed since would stay in every company's repository, unnoticed."""
    assert [pattern for pattern in (*REMOVED, *REMOVED_WITH_THE_SOURCE) if not any(ROOT.glob(pattern))] == []


def test_its_files_agree_and_its_tests_pass(adopted: Path) -> None:
    """Its code locations' own tests, and the tests of workflows, links, values and entries."""
    tests = ["files_agree", "links", "location_entries", "release_values", "workflows"]
    run(adopted, "pytest", "--quiet", "code_locations", *(f"tests/unit/test_{name}.py" for name in tests))


def test_no_test_needs_what_was_removed(adopted: Path) -> None:
    """Every test that stays can be imported."""
    run(adopted, "pytest", "--quiet", "--collect-only")


def test_it_passes_the_style_checks(adopted: Path) -> None:
    """What was rewritten is formatted as the rest."""
    run(adopted, "ruff", "check")
    run(adopted, "ruff", "format", "--check")
    run(adopted, "zizmor", "--quiet", "--offline", ".github")


def test_nothing_names_what_is_not_there(adopted: Path) -> None:
    """No page, comment or message names a target, a file or a page that the repository hasn't got."""
    dead = {}
    for name in git(adopted, "ls-files").split():
        if name not in WRITES_WHAT_IT_NAMES and (named := names_of_nothing(adopted, adopted / name)):
            dead[name] = named
    assert dead == {}


def test_the_deployment_and_its_tests_name_no_sample(adopted: Path) -> None:
    """What an overlay applies, and what its tests look for, is of code locations that are there."""
    files = git(adopted, "ls-files", "deploy", "tests/overlays").split()
    texts = {name: (adopted / name).read_text(errors="replace") for name in files}
    assert [name for name, text in texts.items() if "code-location-a" in text or "code-location-b" in text] == []


def names_of_nothing(root: Path, file: Path) -> list[str]:
    """The make targets, and the paths below a folder of the template, that a file names and that aren't there."""
    try:
        text = file.read_text()
    except UnicodeDecodeError:  # a picture, a wheel
        return []
    folders = [root, file.parent, root / "coordinator", root / "tests"]
    makefiles = [folder / "Makefile" for folder in folders if (folder / "Makefile").exists()]
    targets = {name for each in makefiles for name in re.findall(r"^([a-z][a-z0-9-]*):", each.read_text(), re.M)}
    named = [word for line in COMMAND.findall(text) for word in re.findall(r"(?<= )[a-z][a-z0-9-]*(?= |$)", line)]
    paths = [path for path in PATH.findall(text) if not any(any(folder.glob(path)) for folder in folders)]
    return [*(f"make {word}" for word in named if word not in targets), *paths]


def test_its_values_have_no_finding(adopted: Path) -> None:
    """The values deploy its code locations from its registry."""
    run(adopted, "dagster-clt", "check", "--values", "deploy/values.yaml")
    text = (adopted / "deploy" / "values.yaml").read_text()
    assert "registry.example.com" not in text
    assert all(f"repository: {REGISTRY}/{name}\n" in text for name in ("system", *LOCATIONS))


def test_its_workspace_loads(adopted: Path) -> None:
    """`make dev` shows its code locations and no other."""
    run(adopted, "dagster", "definitions", "validate", "--workspace", "workspace.yaml")
    assert "code_location_" not in (adopted / "workspace.yaml").read_text()


def test_a_failure_changes_nothing(tmp_path: Path) -> None:
    """If a file can't be written, the repository is as it was."""
    root, copy = tmp_path / "root", tmp_path / "copy"
    root.mkdir()
    for name in ("kept", "removed"):
        (root / name).write_text("before")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "before")
    copy.mkdir()
    (copy / "kept").write_text("after")
    (copy / "made").write_text("after")
    (root / "made").symlink_to(tmp_path / "nowhere" / "made")  # can't be written
    with pytest.raises(OSError, match="made"):
        replace_files(root, copy)
    assert {name: (root / name).read_text() for name in ("kept", "removed")} == {
        "kept": "before",
        "removed": "before",
    }


@pytest.mark.parametrize(
    ("org", "registry", "locations", "message"),
    [
        ("", REGISTRY, LOCATIONS, "ORG='' can't be used"),
        ("L'Usine", REGISTRY, LOCATIONS, "with letters, digits, blanks and"),
        ("acme", "https://registry.acme.example", LOCATIONS, "without a scheme"),
        ("acme", REGISTRY, [], "LOCATIONS is empty"),
        ("acme", REGISTRY, ["Billing"], "'Billing' can't be the name"),
        ("acme", REGISTRY, ["billing-of-acme"] * 2, "names 'billing-of-acme' twice"),
    ],
)
def test_bad_names_are_refused(org: str, registry: str, locations: list[str], message: str) -> None:
    """One line names what is wrong, before anything is copied."""
    with pytest.raises(LocationError, match=message) as refused:
        check_arguments(ROOT, org, registry, locations)
    assert "\n" not in str(refused.value)


def test_a_kind_of_coordinator_that_is_none_is_refused() -> None:
    """The message says which there are."""
    with pytest.raises(LocationError, match="COORDINATOR='binary' can't be used: write source"):
        check_arguments(ROOT, "acme", REGISTRY, LOCATIONS, "binary")
