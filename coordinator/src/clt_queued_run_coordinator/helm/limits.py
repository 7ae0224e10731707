"""Limits in Helm values that can't hold or can't be reached."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.config.minimums import minimums_above_total
from clt_queued_run_coordinator.config.parsing import parse
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY
from clt_queued_run_coordinator.helm.known_keys import USER_DEPLOYMENTS
from clt_queued_run_coordinator.helm.options import OPTIONS
from clt_queued_run_coordinator.helm.values import HelmValues
from clt_queued_run_coordinator.helm.yaml import Path, dotted
from clt_queued_run_coordinator.operate.finding import Finding
from clt_queued_run_coordinator.text.similar_names import most_similar

MAX = "max_concurrent_runs"
TAG_LIMITS = "tag_concurrency_limits"
LIMITS = "code_location_limits"

_CHART = "concurrency"
"""The chart's own key, in chart 1.12; 1.10 has none."""
_INSTANCE: Path = ("additionalInstanceConfig", "concurrency")

_TAG_KEYS = (CLT_TAG_KEY, "dagster/code_location")
_CLASS_DEFAULT = 10
"""The limit of QueuedRunCoordinator where none is configured."""


def limit_findings(values: HelmValues) -> list[Finding]:
    """Findings on limits; only for values that name this package's coordinator."""
    return [
        *_without_deployment(values),
        *_in_a_group_without_deployment(values),
        *_written_twice(values),
        *_shadowed(values),
        *_max_concurrent_runs(values),
        *_minimums(values),
    ]


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
            near = most_similar(name, known)
            yield Finding(
                what=f"the limit of {name!r} names no deployment, so it limits nothing",
                where=values.where(*path),
                cure="remove it" + (f", or write a deployment's name, the nearest is {near!r}" if near else ""),
            )


def _in_a_group_without_deployment(values: HelmValues) -> Iterator[Finding]:
    known = code_locations(values)
    if known is None:
        return
    for group in values.mapping(*OPTIONS, LIMITS, "groups"):
        path: Path = (*OPTIONS, LIMITS, "groups", group, "locations")
        for index, name in enumerate(values.items(*path)):
            if isinstance(name, str) and name not in known:
                near = most_similar(name, known)
                yield Finding(
                    what=f"{name!r} in the group {group!r} names no deployment, so it has no part in it",
                    where=values.where(*path, index),
                    cure="remove it"
                    + (f", or write a deployment's name, the nearest is {near!r}" if near else ""),
                )


def _of_instance(values: HelmValues, name: str, chart_name: str) -> tuple[Path, Any] | None:
    """The path and value of the instance's own setting, which replaces the coordinator's, if there is one.

    Dagster goes by the key being there. The chart writes its keys only where they say something;
    `additionalInstanceConfig` comes into dagster.yaml as it is.
    """
    if _INSTANCE[-1] in values.mapping(*_INSTANCE[:-1]):
        path: Path = (*_INSTANCE, "runs", name)
        return (path, values.get(*path)) if name in values.mapping(*path[:-1]) else None
    path = (_CHART, "runs", chart_name)
    if values.get(_CHART, "enabled") and values.get(*path) not in (None, []):
        return path, values.get(*path)
    return None


def _written_twice(values: HelmValues) -> Iterator[Finding]:
    """Both of the keys that the chart makes `concurrency` of dagster.yaml from."""
    said = [value for part in ("runs", "pools") for value in values.mapping(_CHART, part).values()]
    if (
        _INSTANCE[-1] in values.mapping(*_INSTANCE[:-1])
        and values.get(_CHART, "enabled")
        and any(value not in (None, []) for value in said)
    ):
        yield Finding(
            what=f"{dotted(_INSTANCE)!r} replaces all of {_CHART!r}, because the chart writes both into"
            " dagster.yaml, where the last one counts",
            where=values.where(*_INSTANCE),
            cure="move what it says into the other, and keep one",
        )


def _shadowed(values: HelmValues) -> Iterator[Finding]:
    options = values.mapping(*OPTIONS)
    tag_limits = _of_instance(values, TAG_LIMITS, "tagConcurrencyLimits")
    if tag_limits:
        key = f"the instance's {dotted(tag_limits[0])!r}"
        if tag_limits[0][0] != _CHART:
            key += ", empty or not,"
        yield Finding(
            what=f"{key} would replace the coordinator's {LIMITS!r}, so no daemon starts with it"
            if options.get(LIMITS) is not None
            else f"{key} replaces every limit of the coordinator, live changes and pauses included",
            where=values.where(*tag_limits[0]),
            cure=f"take the key out, or move its entries to the coordinator's {TAG_LIMITS!r}",
        )
    total, own = _of_instance(values, MAX, "maxConcurrentRuns"), options.get(MAX)
    if total and None not in (total[1], own) and total[1] != own:
        yield Finding(
            what=f"the instance's {dotted(total[0])!r}, {total[1]}, replaces the coordinator's {MAX!r}, {own}",
            where=values.where(*total[0]),
            cure="set it in only one of the two places",
        )


def _groups(values: HelmValues) -> Iterator[tuple[int | None, list[Any]]]:
    """The limit and the code locations of each group."""
    for name, group in values.mapping(*OPTIONS, LIMITS, "groups").items():
        limit = group.get("limit") if isinstance(group, dict) else None
        members = values.items(*OPTIONS, LIMITS, "groups", name, "locations")
        yield limit if isinstance(limit, int) else None, members


def _at_once(limits: Mapping[str, int], groups: Iterable[tuple[int | None, list[Any]]]) -> int:
    """How many runs the limits let be in progress at once, those of groups taken in."""
    left, needed = dict(limits), 0
    for limit, members in groups:
        of_it = [left.pop(name) for name in members if isinstance(name, str) and name in left]
        everybody_is_limited = len(of_it) == len(members)
        needed += sum(of_it) if limit is None else min(limit, sum(of_it)) if everybody_is_limited else limit
    return needed + sum(left.values())


def _minimums(values: HelmValues) -> Iterator[Finding]:
    """Whether the slots that are kept fit into the total; what else is wrong with them the options tell."""
    option = values.get(*OPTIONS, LIMITS)
    try:
        limits = parse(option) if isinstance(option, dict) else None
    except ConfigurationError:
        return
    of_instance = _of_instance(values, MAX, "maxConcurrentRuns")
    path, most = of_instance or ((*OPTIONS, MAX), values.mapping(*OPTIONS).get(MAX, _CLASS_DEFAULT))
    above = minimums_above_total(limits, most) if limits and isinstance(most, int) else None
    if above:
        needed, named = above
        yield Finding(
            what=f"{LIMITS!r} keeps {needed} slots ({named}), and {dotted(path[-1:])!r} is {most}, so no daemon"
            " starts with it",
            where=values.where(*OPTIONS, LIMITS),
            cure=f"lower a min, or write {needed} or more",
        )


def _max_concurrent_runs(values: HelmValues) -> Iterator[Finding]:
    """Whether the limits can be reached: one by one with fair sharing, else all at once."""
    limits: dict[str, int] = {}
    for name, limit, _ in _written(values):
        if limit >= 0:
            limits[name] = min(limit, limits.get(name, limit))
    default = values.get(*OPTIONS, LIMITS, "default")
    default = default.get("limit") if isinstance(default, dict) else default
    groups = list(_groups(values))
    of_groups = [limit for limit, _ in groups if limit is not None]
    largest = max([*limits.values(), *of_groups, default if isinstance(default, int) else 0])
    sharing = values.get(*OPTIONS, LIMITS, "sharing")
    fair = (sharing.get("kind") if isinstance(sharing, dict) else sharing) == "fair"
    needed = largest if fair else max(_at_once(limits, groups), largest)

    of_instance = _of_instance(values, MAX, "maxConcurrentRuns")
    path, most = of_instance or ((*OPTIONS, MAX), values.get(*OPTIONS, MAX))
    if of_instance and not isinstance(most, int):
        yield Finding(
            what=f"{dotted(path)!r} is no whole number, so no daemon starts with it",
            where=values.where(*path),
            cure=f"write '{MAX}: {needed}' or more" if needed else "write one, -1 for no limit",
        )
    elif most is None and "maxConcurrentRuns" not in values.mapping(*OPTIONS):  # told as an unknown option
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
