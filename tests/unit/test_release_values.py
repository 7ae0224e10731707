"""The Helm values of a release."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.release_values import of_location, with_images

VALUES = Path(__file__).parents[2] / "deploy" / "values.yaml"


@pytest.fixture
def values() -> dict[str, Any]:
    """The values of deploy/."""
    read: dict[str, Any] = yaml.safe_load(VALUES.read_text())
    return read


def test_every_image_gets_registry_and_tag(values: dict[str, Any]) -> None:
    """No image keeps the registry or the tag that it had, and nothing but images changes."""
    image = values["dagsterDaemon"]["image"]
    registry = image["repository"].rpartition("/")[0]
    released = yaml.safe_dump(with_images(values, "elsewhere.example/data", "1.4.0-rc.1"))
    assert registry not in released
    expected = yaml.safe_dump(values).replace(registry, "elsewhere.example/data")
    assert yaml.safe_load(released) == yaml.safe_load(expected.replace(image["tag"], "1.4.0-rc.1"))


def test_a_location_is_deployed_alone(values: dict[str, Any]) -> None:
    """The values of a code location's own release hold its user deployment and no other."""
    section = values["dagster-user-deployments"]
    section["enableSubchart"] = False
    deployment = section["deployments"][-1]
    alone = of_location(values, deployment["name"])
    assert alone == {"global": values["global"], "rbacEnabled": False, "deployments": [deployment]}


def test_a_location_deployed_with_the_platform_is_refused(values: dict[str, Any]) -> None:
    """Two releases can't own one Deployment, so the message says what to change first."""
    name = values["dagster-user-deployments"]["deployments"][0]["name"]
    with pytest.raises(ValueError, match="enableSubchart: false"):
        of_location(values, name)


def test_an_unknown_location_is_refused(values: dict[str, Any]) -> None:
    """The message names those that are there."""
    with pytest.raises(ValueError, match=r"LOCATION=nowhere is no user deployment of the values; they have \w+"):
        of_location(values, "nowhere")


def test_a_preview_stands_beside_its_code_location(values: dict[str, Any]) -> None:
    """Under a name of its own, with the image of that code location, also where the platform deploys that one."""
    location = values["dagster-user-deployments"]["deployments"][0]["name"]
    (deployment,) = of_location(values, location, "pr-12-preview")["deployments"]
    assert deployment["name"] == "pr-12-preview"
    assert deployment["image"]["repository"].endswith(f"/{location}")
