"""Limits in Helm values that can't hold or can't be reached."""

from collections.abc import Iterator
from typing import Any

from clt_queued_run_coordinator.helm.known import USER_DEPLOYMENTS
from clt_queued_run_coordinator.helm.options import OPTIONS
from clt_queued_run_coordinator.helm.values import HelmValues
from clt_queued_run_coordinator.helm.yaml import Path, dotted
from clt_queued_run_coordinator.tagging.code_location_tag import CLT_TAG_KEY
from clt_queued_run_coordinator.view.findings import Finding
from clt_queued_run_coordinator.view.names import nearest

MAX = "max_concurrent_runs"
TAG_LIMITS = "tag_concurrency_limits"
LIMITS = "code_location_limits"

_TAG_KEYS = (CLT_TAG_KEY, "dagster/code_location")
_CLASS_DEFAULT = 10
"""The limit of QueuedRunCoordinator where none is configured."""


def limit_findings(values: HelmValues) -> list[Finding]:
    """Findings on limits; only for values that name this package's coordinator."""
    return [*_without_deployment(values), *_shadowed(values), *_max_concurrent_runs(values)]


def code_locations(values: HelmValues) -> list[str] | None:
    """The code locations that the values deploy or name, None where that is written elsewhere."""
    workspace = values.mapping("dagsterWebserver", "workspace")
    if workspace.get("enabled"):
        if workspace.get("externalConfigmap"):
            return None
        servers = values.items("dagsterWebserver", "workspace", "servers")
        return [str(server.get("name") or server.get("host")) for server in servers if isinstance(server, dict)]
    if values.get(USER_DEPLOYMENTS, "enabled") is False:
        return None
    if values.get(USER_DEPLOYMENTS, "deployments") is None:
        return None
    deployments = values.items(USER_DEPLOYMENTS, "deployments")
    return [str(deployment.get("name")) for deployment in deployments if isinstance(deployment, dict)]


def _written(values: HelmValues) -> Iterator[tuple[str, int, Path]]:
    """Each limit that names a code location: the location, the limit in runs, and its path."""
    for name, entry in values.mapping(*OPTIONS, LIMITS, "locations").items():
        limit = entry.get("limit") if isinstance(entry, dict) else entry
        yield name, limit if isinstance(limit, int) else -1, (*OPTIONS, LIMITS, "locations", name)
    for index, entry in enumerate(values.items(*OPTIONS, TAG_LIMITS)):
        if isinstance(entry, dict) and entry.get("key") in _TAG_KEYS and isinstance(entry.get("value"), str):
            limit = entry.get("limit")
            yield entry["value"], limit if isinstance(limit, int) else -1, (*OPTIONS, TAG_LIMITS, index)


def _without_deployment(values: HelmValues) -> Iterator[Finding]:
    known = code_locations(values)
    if known is None:
        return
    for name, _, path in _written(values):
        if name not in known:
            near = nearest(name, known)
            yield Finding(
                what=f"the limit of {name!r} names no deployment, so it limits nothing",
                where=values.where(*path),
                cure="remove it" + (f", or write a deployment's name, the nearest is {near!r}" if near else ""),
            )


def _concurrency(values: HelmValues, name: str, chart_name: str) -> tuple[Path, Any] | None:
    """The path and value of the instance's setting that replaces the coordinator's own, if there is one."""
    path: Path = ("concurrency", "runs", chart_name)
    if values.get("concurrency", "enabled") and values.get(*path) not in (None, []):
        return path, values.get(*path)
    path = ("additionalInstanceConfig", "concurrency", "runs", name)
    if name in values.mapping(*path[:-1]):
        return path, values.get(*path)
    return None


def _shadowed(values: HelmValues) -> Iterator[Finding]:
    options = values.mapping(*OPTIONS)
    for name, chart_name, shadowed in (
        (MAX, "maxConcurrentRuns", [MAX]),
        (TAG_LIMITS, "tagConcurrencyLimits", [TAG_LIMITS, LIMITS]),
    ):
        instead = _concurrency(values, name, chart_name)
        for option in shadowed:
            if instead and option in options:
                yield Finding(
                    what=f"the instance's {dotted(instead[0])!r} replaces the coordinator's {option!r}",
                    where=values.where(*instead[0]),
                    cure=f"move it into the coordinator's {name!r}",
                )


def _max_concurrent_runs(values: HelmValues) -> Iterator[Finding]:
    """Whether the limits can be reached: one by one with fair sharing, else all at once."""
    limits: dict[str, int] = {}
    for name, limit, _ in _written(values):
        if limit >= 0:
            limits[name] = min(limit, limits.get(name, limit))
    default = values.get(*OPTIONS, LIMITS, "default")
    largest = max([*limits.values(), default if isinstance(default, int) else 0])
    fair = values.get(*OPTIONS, LIMITS, "sharing") == "fair"
    needed = largest if fair else max(sum(limits.values()), largest)

    instead = _concurrency(values, MAX, "maxConcurrentRuns")
    path, most = instead or ((*OPTIONS, MAX), values.get(*OPTIONS, MAX))
    if most is None and "maxConcurrentRuns" not in values.mapping(*OPTIONS):  # told as an unknown option
        yield Finding(
            what=f"{MAX!r} is missing, so the class's own default of {_CLASS_DEFAULT} runs holds",
            where=values.where(*OPTIONS),
            cure=f"write '{MAX}: {needed}' or more" if needed else "write it, -1 for no limit",
        )
    elif isinstance(most, int) and most == 0:
        yield Finding(
            what=f"{dotted(path[-1:])!r} is 0, so no run starts",
            where=values.where(*path),
            cure=f"write {needed or 'a number above 0'}",
        )
    elif isinstance(most, int) and 0 < most < largest:
        yield Finding(
            what=f"{dotted(path[-1:])!r} is {most}, so the limit of {largest} can't be reached",
            where=values.where(*path),
            cure=f"write {needed} or more",
        )
    elif isinstance(most, int) and 0 < most < needed:
        yield Finding(
            what=f"{dotted(path[-1:])!r} is {most}, so the limits, {needed} in all, can't be reached at once",
            where=values.where(*path),
            cure=f"write {needed} or more, or share the slots with '{LIMITS}: {{sharing: fair}}'",
        )
