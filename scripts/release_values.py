"""The Helm values of a release: those of deploy/values.yaml with the images of one version in them.

`make release-values` writes those of the whole deployment, and with `LOCATION=billing` those of one code location
for the chart dagster-user-deployments.
"""

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

import yaml
from dagster_deploy_tools.values import read_values
from dagster_deploy_tools.yaml_file import HelmInputError

Values = dict[str, Any]

USER_DEPLOYMENTS = "dagster-user-deployments"


def with_images(values: Values, registry: str, tag: str) -> Values:
    """Values whose images are those of one registry and tag; their names and everything else stay."""
    values = copy.deepcopy(values)
    daemon, webserver = values["dagsterDaemon"], values["dagsterWebserver"]
    images = [daemon["image"], webserver["image"]]
    images += [deployment["image"] for deployment in values[USER_DEPLOYMENTS]["deployments"]]
    for image in images:
        image.update(repository=f"{registry}/{_name(image['repository'])}", tag=tag)
    for container in [*daemon.get("extraContainers", []), *webserver.get("extraContainers", [])]:
        if _name(container["image"]) == _name(daemon["image"]["repository"]):
            container["image"] = f"{daemon['image']['repository']}:{tag}"
    return values


def of_location(values: Values, location: str, preview: str | None = None) -> Values:
    """What the chart dagster-user-deployments takes for one code location as a release of its own.

    Args:
        values: Of the whole deployment.
        location: The code location.
        preview: The name under which its code is to stand beside it; None to release the code location itself.

    Raises:
        ValueError: The values have no such user deployment, or deploy it with the platform.
    """
    section = values[USER_DEPLOYMENTS]
    deployments = [deployment for deployment in section["deployments"] if deployment["name"] == location]
    if not deployments:
        names = ", ".join(deployment["name"] for deployment in section["deployments"])
        raise ValueError(f"LOCATION={location} is no user deployment of the values; they have {names}")
    if preview is not None:
        deployments = [{**deployment, "name": preview} for deployment in deployments]
    elif section.get("enableSubchart", True):
        raise ValueError(
            f"the values deploy {location} with the platform; for releases of its own set"
            f" {USER_DEPLOYMENTS}.enableSubchart: false and name it in dagsterWebserver.workspace.servers"
        )
    others = {key: value for key, value in section.items() if key not in ("enabled", "enableSubchart")}
    return {"global": values.get("global", {}), **others, "deployments": deployments}


def _name(image: str) -> str:
    """The last part of an image's name, without its tag."""
    return image.rsplit("/", 1)[-1].partition(":")[0]


def main() -> None:
    """Write the values of a release to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("values", nargs="+", type=Path, help="the values, as `helm upgrade -f` takes several")
    parser.add_argument("--registry", required=True)
    parser.add_argument("--tag", required=True)
    parser.add_argument("--location", help="only this code location, as a release of its own")
    parser.add_argument("--preview", help="as a preview of this name, beside the code location itself")
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args()
    try:
        values = with_images(read_values(options.values).data, options.registry, options.tag)
        if options.location is not None:
            values = of_location(values, options.location, options.preview)
    except (HelmInputError, ValueError) as error:
        sys.exit(str(error))
    options.output.write_text(yaml.safe_dump(values, sort_keys=False))
    sys.stdout.write(f"{options.output}: the images of {options.registry} with the tag {options.tag}\n")


if __name__ == "__main__":
    main()
