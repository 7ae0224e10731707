"""What holds for every overlay."""

from pathlib import Path

import pytest
import yaml

from tests.chart import VALUES
from tests.overlays.rendering import OVERLAYS, instance_of, manifests_of, rendered, values_of

FOLDERS = sorted(folder.name for folder in OVERLAYS.iterdir() if folder.is_dir())


@pytest.mark.parametrize("overlay", FOLDERS)
def test_it_renders_with_the_deployments_values(overlay: str) -> None:
    """An overlay has Helm values, manifests or both, and the chart takes the values."""
    assert values_of(overlay) or manifests_of(overlay)
    assert rendered(overlay)


@pytest.mark.parametrize("overlays", [[], ["pgbouncer"]], ids=["the chart's own database", "pgbouncer"])
def test_every_program_notices_a_database_that_is_gone(overlays: list[str]) -> None:
    """Each storage of the instance connects with the time limits of the values."""
    params = yaml.safe_load(VALUES.read_text())["postgresql"]["postgresqlParams"]
    instance = instance_of(rendered(*overlays))
    for storage in ("event_log_storage", "run_storage", "schedule_storage"):
        assert instance[storage]["config"]["postgres_db"]["params"] == params


@pytest.mark.parametrize("overlay", FOLDERS)
def test_its_manifests_leave_the_namespace_to_the_command(overlay: str) -> None:
    """`make deploy NAMESPACE=...` says where they go; those of the folder `namespaces` have one of their own."""
    made = {each["metadata"]["name"] for each in manifests_of(overlay) if each["kind"] == "Namespace"}
    named = {each["metadata"].get("namespace") for each in manifests_of(overlay)} - {None}
    assert named == made
    assert (OVERLAYS / overlay / "namespaces").is_dir() == bool(made)


@pytest.mark.parametrize("overlay", FOLDERS)
def test_each_file_says_when_and_how_it_was_tried(overlay: str) -> None:
    """The comment at the top of each file."""
    files: list[Path] = sorted((OVERLAYS / overlay).rglob("*.yaml"))
    for file in files:
        head = []
        for line in file.read_text().splitlines():
            if not line.startswith("#"):
                break
            head.append(line)
        assert any("Tried live" in line or "Rendered" in line for line in head), file


def test_the_index_has_a_row_for_each() -> None:
    """deploy/overlays/README.md names every folder, and none that isn't there."""
    rows = [line for line in (OVERLAYS / "README.md").read_text().splitlines() if line.startswith("| [")]
    assert sorted(row.split("[")[1].split("]")[0].strip("`") for row in rows) == FOLDERS
