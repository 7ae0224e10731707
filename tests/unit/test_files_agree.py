"""The files that name the code locations say the same."""

from typing import Any

import tomlkit
import yaml

from tests.unit.deployed_files import FOLDERS, ROOT, deployments, values


def options(name: str = "values.yaml") -> dict[str, Any]:
    """The coordinator's options in Helm values."""
    coordinator = values(name)["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    found: dict[str, Any] = coordinator["config"]
    return found


def module_of(location: str) -> str:
    """The module that a code location's folder defines."""
    return f"{location.replace('-', '_')}.definitions"


def test_the_local_trial_loads_every_folder() -> None:
    """workspace.yaml names a code location for each folder of code_locations/, by the folder's name."""
    loaded = [
        entry["python_module"] for entry in yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    ]
    assert {(entry["location_name"], entry["module_name"]) for entry in loaded} == {
        (folder, module_of(folder)) for folder in FOLDERS
    }


def test_dg_knows_every_folder() -> None:
    """dg.toml names a project for each folder, and the project says which package it holds."""
    projects = tomlkit.parse((ROOT / "dg.toml").read_text()).unwrap()["workspace"]["projects"]
    assert {project["path"] for project in projects} == {f"code_locations/{folder}" for folder in FOLDERS}
    for folder in FOLDERS:
        settings = tomlkit.parse((ROOT / "code_locations" / folder / "pyproject.toml").read_text()).unwrap()
        assert f"{settings['tool']['dg']['project']['root_module']}.definitions" == module_of(folder)


def test_the_values_deploy_every_folder() -> None:
    """deploy/values.yaml has a user deployment for each folder, with its module and an image of its name."""
    assert {deployment["name"] for deployment in deployments()} == FOLDERS
    for deployment in deployments():
        assert deployment["dagsterApiGrpcArgs"] == ["--module-name", module_of(deployment["name"])]
        assert deployment["image"]["repository"].rsplit("/", 1)[-1] == deployment["name"]


def test_every_limit_names_a_folder() -> None:
    """A limit of a code location that isn't there would never apply."""
    for name in ("values.yaml", "test-cluster.yaml"):
        assert set(options(name)["code_location_limits"]["locations"]) <= FOLDERS, name


def test_all_limits_can_be_reached_at_once() -> None:
    """max_concurrent_runs leaves room for every code location's limit."""
    for name in ("values.yaml", "test-cluster.yaml"):
        limits = options(name)["code_location_limits"]["locations"].values()
        assert options(name)["max_concurrent_runs"] >= sum(limits), name


def test_the_total_is_in_one_place() -> None:
    """The coordinator's options have it, so neither of the keys that would replace it does."""
    for name in ("values.yaml", "test-cluster.yaml"):
        assert "max_concurrent_runs" in options(name)
        assert "concurrency" not in values(name)
        assert "runs" not in values(name).get("additionalInstanceConfig", {}).get("concurrency", {})


def test_every_image_has_the_same_registry_and_tag() -> None:
    """Daemon, webserver, the containers beside them and the code servers are built together."""
    system = values()["dagsterDaemon"]["image"]
    for component in (values()["dagsterDaemon"], values()["dagsterWebserver"]):
        assert component["image"] == system
        assert {container["image"] for container in component["extraContainers"]} == {
            f"{system['repository']}:{system['tag']}"
        }
    for image in [deployment["image"] for deployment in deployments()]:
        assert image["repository"].rsplit("/", 1)[0] == system["repository"].rsplit("/", 1)[0]
