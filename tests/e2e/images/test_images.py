"""The images as `make images` built them: what is in each, what isn't, who runs it, what it weighs.

REGISTRY, VERSION, BUILDER and BASE name them, as for `make images`; `make e2e` passes them on.
"""

import logging
import os
import shutil
import subprocess
from pathlib import Path

import pytest

log = logging.getLogger(__name__)
ROOT = Path(__file__).parents[3]
LOCATIONS = sorted(folder.parent.name for folder in (ROOT / "code_locations").glob("*/pyproject.toml"))
IMAGES = ["system", *LOCATIONS]
BUILDER = os.environ.get("BUILDER") or shutil.which("podman") or shutil.which("docker") or ""
BASE = os.environ.get("BASE", "docker.io/library/python:3.11-slim-bookworm")
VERSION = os.environ.get("VERSION", "")

pytestmark = pytest.mark.skipif(
    not (BUILDER and VERSION),
    reason="images: needs podman or docker, and VERSION, the tag that `make images` gave",
)

RUN_WORKER = {"clt_queued_run_coordinator.coordinator", "dagster", "dagster_k8s", "dagster_postgres"}
MODULES = {location: location.replace("-", "_") for location in LOCATIONS}
NEVER = {"hatchling", "mypy", "pip", "pytest", "ruff", "setuptools", "uv"}

# Sums the files of every installed package as pip lists them, with their compiled twins.
WEIGH_PACKAGES = """
import importlib.metadata as metadata, importlib.util, pathlib, sys
total = 0
for distribution in metadata.distributions(path=[p for p in sys.path if p.endswith("site-packages")]):
    for file in distribution.files or []:
        path = pathlib.Path(file.locate())
        twin = pathlib.Path(importlib.util.cache_from_source(path)) if path.suffix == ".py" else None
        total += sum(p.stat().st_size for p in (path, twin) if p and p.exists())
print(total)
"""


def tag(image: str) -> str:
    """The full name of an image."""
    return f"{os.environ.get('REGISTRY', 'localhost')}/{image}:{VERSION}"


def run(image: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a new container of an image."""
    return subprocess.run(
        [BUILDER, "run", "--rm", tag(image), *command], capture_output=True, text=True, check=False
    )


def modules_of(image: str) -> set[str]:
    """What must import in an image."""
    if image == "system":
        return RUN_WORKER | {"dagster_webserver", "prometheus_client"}
    return RUN_WORKER | {MODULES[image]}


def size(name: str) -> int:
    """The weight of an image's layers, in bytes."""
    answer = subprocess.run(
        [BUILDER, "image", "inspect", "--format", "{{.Size}}", name],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(answer.stdout)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_imports_what_must_be_in_it(image: str) -> None:
    """Each image imports the coordinator and what its pods need."""
    answer = run(image, "python", "-c", f"import {', '.join(sorted(modules_of(image)))}")
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_nothing_else(image: str) -> None:
    """No image holds another location, build tools or test tools; a location's image has no webserver."""
    absent = (NEVER | {"dagster_webserver"} | set(MODULES.values())) - modules_of(image)
    answer = run(
        image,
        "python",
        "-c",
        f"import importlib.util; print([m for m in {sorted(absent)} if importlib.util.find_spec(m)])",
    )
    assert answer.stdout.strip() == "[]", answer.stderr


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_no_caches_and_no_sources(image: str) -> None:
    """The build's folder, downloaded wheels and the members' own tests stay in the build stages."""
    answer = run(
        image,
        "bash",
        "-c",
        "ls -d /build /opt/tools /opt/member; find /opt /home /tmp -name '*.whl' -o -name .cache;"
        " find /opt/venv -name 'test*' | grep -E 'code_location|clt_queued'",
    )
    assert answer.stdout == ""


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_numbered_user_who_may_write_dagster_home(image: str) -> None:
    """The user is a number that isn't 0; DAGSTER_HOME is writable for it and the environment is not."""
    inspected = subprocess.run(
        [BUILDER, "image", "inspect", "--format", "{{.Config.User}}", tag(image)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert inspected.stdout.strip() == "1000:1000"
    answer = run(
        image,
        "bash",
        "-c",
        'id -u; touch "$DAGSTER_HOME/x" && echo home; touch /opt/venv/x || echo read-only',
    )
    assert answer.stdout.split() == ["1000", "home", "read-only"], answer.stderr


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_weighs_little_more_than_its_packages(image: str) -> None:
    """An image's own layers weigh at most 1.1 times the packages installed in it."""
    own = size(tag(image)) - size(BASE)
    packages = int(run(image, "python", "-c", WEIGH_PACKAGES).stdout)
    log.info("%s: own layers %.0f MB, packages %.0f MB", image, own / 1e6, packages / 1e6)
    assert own <= 1.1 * packages
