"""Images in Helm values: each must hold the coordinator, and those that must agree must be the same."""

import re
from collections.abc import Iterator
from typing import Any

from clt_queued_run_coordinator.helm.known_keys import USER_DEPLOYMENTS
from clt_queued_run_coordinator.helm.values import HelmValues
from clt_queued_run_coordinator.helm.yaml import Path, dotted
from clt_queued_run_coordinator.operate.finding import Finding

_STOCK = re.compile(r"(docker\.io/)?dagster/[^/]+")
"""The images that Dagster publishes; none holds this package."""

DAEMON: Path = ("dagsterDaemon", "image")
WEBSERVER: Path = ("dagsterWebserver", "image")


def image_findings(values: HelmValues) -> list[Finding]:
    """Findings on images; only for values that name this package's coordinator."""
    system = [finding for path in (DAEMON, WEBSERVER) for finding in _stock(values, path)]
    if not system and _name(values, DAEMON) != _name(values, WEBSERVER):
        system = [
            Finding(
                what=f"the webserver's image {_name(values, WEBSERVER)} is not"
                f" the daemon's {_name(values, DAEMON)}",
                where=values.where(*WEBSERVER),
                cure="write the same repository, tag and digest for both",
            )
        ]
    return [*system, *_user_deployments(values)]


def _user_deployments(values: HelmValues) -> Iterator[Finding]:
    """Stock images and other tags among the user deployments of this release."""
    if any(values.get(USER_DEPLOYMENTS, switch) is False for switch in ("enabled", "enableSubchart")):
        return
    system = values.mapping(*DAEMON)
    for index, deployment in enumerate(values.items(USER_DEPLOYMENTS, "deployments")):
        path = (USER_DEPLOYMENTS, "deployments", index, "image")
        stock = list(_stock(values, path))
        yield from stock
        image = values.mapping(*path)
        if stock or not system or image.get("digest") or system.get("digest"):
            continue
        if _tag(image) != _tag(system):
            name = deployment.get("name") if isinstance(deployment, dict) else index
            yield Finding(
                what=f"the tag of user deployment {name!r} is {_tag(image)}, the daemon's is {_tag(system)}",
                where=values.where(*path, "tag"),
                cure="write the same tag for all images, which are built as one version",
            )


def _stock(values: HelmValues, path: Path) -> Iterator[Finding]:
    repository = values.get(*path, "repository")
    if not repository:
        yield Finding(
            what=f"{dotted((*path, 'repository'))!r} is not set; the chart's own image lacks the coordinator",
            where=values.where(*path),
            cure="write the repository of an image that holds the coordinator",
        )
    elif _STOCK.fullmatch(str(repository)):
        yield Finding(
            what=f"{dotted((*path, 'repository'))!r} is Dagster's own image {repository},"
            " which lacks the coordinator",
            where=values.where(*path, "repository"),
            cure="write the repository of an image that holds it",
        )


def _tag(image: dict[str, Any]) -> str:
    tag = image.get("tag")
    return "the chart's version" if tag in (None, "") else repr(str(tag))


def _name(values: HelmValues, path: Path) -> str:
    """An image's full name."""
    image = values.mapping(*path)
    digest = image.get("digest")
    tag = image.get("tag")
    return f"{image.get('repository')}" + (f"@{digest}" if digest else f":{tag}" if tag else "")
