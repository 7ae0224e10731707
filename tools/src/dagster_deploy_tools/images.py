"""Images in Helm values: each must hold the coordinator, and the webserver's must be the daemon's."""

import re
from collections.abc import Iterator

from clt_queued_run_coordinator.operate.finding import Finding

from dagster_deploy_tools.values import USER_DEPLOYMENTS, Values
from dagster_deploy_tools.yaml_file import Path, dotted

_STOCK = re.compile(
    r"(((index\.|registry-1\.)?docker\.io/)?dagster/[^/]+"  # whatever Dagster publishes
    r"|(.+/)?(dagster/dagster-k8s|dagster-celery-k8s|user-code-example))"  # in a mirror too
    r"([:@][^/]*)?"
)
"""Dagster's own images; none holds this package."""

_DAEMON: Path = ("dagsterDaemon", "image")
_WEBSERVER: Path = ("dagsterWebserver", "image")
_DEPLOYMENTS: Path = (USER_DEPLOYMENTS, "deployments")


def image_findings(values: Values) -> Iterator[Finding]:
    """Findings on images; only for values that name this package's coordinator."""
    system = [finding for path in (_DAEMON, _WEBSERVER) for finding in _stock(values, path)]
    yield from system
    if not system and _differ(values):
        webserver, daemon = image_name(values, _WEBSERVER), image_name(values, _DAEMON)
        what = f"the webserver's image {webserver} is not the daemon's {daemon}"
        yield values.finding(
            _WEBSERVER, what, "write the same tag and digest for both, which load one coordinator"
        )
    if any(values.get(USER_DEPLOYMENTS, switch) is False for switch in ("enabled", "enableSubchart")):
        return
    for key, _ in values.items(*_DEPLOYMENTS):
        yield from _stock(values, (*_DEPLOYMENTS, key, "image"))
    if "deployments" not in values.block(USER_DEPLOYMENTS):
        yield values.finding(
            _DEPLOYMENTS,
            f"{dotted(_DEPLOYMENTS)!r} is not written, so the chart deploys its example, whose image lacks the"
            " coordinator",
            f"write your code locations, or '{USER_DEPLOYMENTS}: {{enableSubchart: false}}' and the webserver's"
            " workspace",
        )


def _stock(values: Values, path: Path) -> Iterator[Finding]:
    repository = values.get(*path, "repository")
    is_now = f"is Dagster's own image {repository}" if repository else "is not set, so it is the chart's own image"
    if not repository or _STOCK.fullmatch(str(repository)):
        yield values.finding(
            (*path, "repository"),
            f"{dotted((*path, 'repository'))!r} {is_now}, which lacks the coordinator",
            "write the repository of an image that holds it",
        )


def _differ(values: Values) -> bool:
    """Whether the two are surely not one version. Images of two names can't have the same digest."""
    daemon, webserver = values.block(*_DAEMON), values.block(*_WEBSERVER)
    if daemon.get("repository") == webserver.get("repository"):
        return image_name(values, _DAEMON) != image_name(values, _WEBSERVER)
    has_digest = daemon.get("digest") or webserver.get("digest")
    return not has_digest and str(daemon.get("tag")) != str(webserver.get("tag"))


def image_name(values: Values, path: Path) -> str:
    """An image's full name; empty where the values don't name one."""
    image = values.block(*path)
    tag, digest = image.get("tag"), image.get("digest")
    if not image.get("repository"):
        return ""
    return f"{image.get('repository')}" + (f"@{digest}" if digest else f":{tag}" if tag else "")
