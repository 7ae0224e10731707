"""Limits in Helm values that can't hold or can't be reached."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from clt_queued_run_coordinator.config.options import Group
from clt_queued_run_coordinator.config.patterns import is_pattern
from clt_queued_run_coordinator.config.quantity import amount
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY
from clt_queued_run_coordinator.operate.finding import Finding
from clt_queued_run_coordinator.text.similar_names import most_similar

from dagster_deploy_tools.coordinator import LIMITS, MAX, TAG_LIMITS, Loaded
from dagster_deploy_tools.instance import CONCURRENCY, Instance
from dagster_deploy_tools.values import USER_DEPLOYMENTS, Values
from dagster_deploy_tools.yaml_file import Path, dotted

_TAG_KEYS = (CLT_TAG_KEY, "dagster/code_location")
_CLASS_DEFAULT = 10
"""The limit of QueuedRunCoordinator where none is configured."""


def code_locations(values: Values) -> list[str] | None:
    """The code locations that the values deploy or name, None where that is written elsewhere."""
    workspace: Path = ("dagsterWebserver", "workspace")
    path: Path = (USER_DEPLOYMENTS, "deployments")
    if values.get(*workspace, "enabled"):
        path = (*workspace, "servers")
        if values.get(*workspace, "externalConfigmap"):
            return None
    elif values.get(USER_DEPLOYMENTS, "enabled") is False or values.get(*path) is None:
        return None
    entries = [entry for _, entry in values.items(*path) if isinstance(entry, dict)]
    return [str(entry.get("name") or entry.get("host")) for entry in entries]


def limit_findings(values: Values, instance: Instance, ours: Loaded) -> list[Finding]:
    """Findings on limits."""
    return [*_without_deployment(values, ours), *_needs(values, ours), *_total(values, instance, ours)]


def _needs(values: Values, ours: Loaded) -> Iterator[Finding]:
    """User deployments that ask for more than `run_needs` says: runs get what they ask for."""
    limits = ours.coordinator.settings.code_location_limits
    path: Path = (USER_DEPLOYMENTS, "deployments")
    for index, entry in values.items(*path):
        name = str(entry.get("name")) if isinstance(entry, dict) else ""
        resources: Path = (*path, index, "resources")
        asked = {**values.block(*resources, "limits"), **values.block(*resources, "requests")}
        needs = limits.entry(name).run_needs or {}
        for resource in limits.slot or ():
            if _amount(asked.get(resource)) > needs.get(resource, 0):
                what = f"{name!r} asks for {resource} {asked[resource]}, which its run_needs doesn't say"
                cure = f"write 'run_needs: {{{resource}: {asked[resource]}}}' for it in {LIMITS!r}"
                yield values.finding(resources, f"{what}, so its runs take too few slots", cure)


def _amount(written: object) -> Fraction:
    """The amount that a quantity stands for; 0 if it isn't one, which is for Kubernetes to refuse."""
    try:
        return amount(written)
    except ValueError:
        return Fraction(0)


def _written(ours: Loaded) -> Iterator[tuple[str, int | None, Path]]:
    """Each limit that names a code location: the location, the limit in runs, and its path."""
    settings = ours.coordinator.settings
    for name, entry in settings.code_location_limits.entries.items():
        yield name, entry.limit, (*ours.options, LIMITS, "locations", name)
    for index, limit in enumerate(settings.tag_concurrency_limits):
        if limit["key"] in _TAG_KEYS and isinstance(limit.get("value"), str):
            yield limit["value"], limit["limit"], (*ours.options, TAG_LIMITS, index)


def _without_deployment(values: Values, ours: Loaded) -> Iterator[Finding]:
    known = code_locations(values)
    named = [(name, f"the limit of {name!r}", "it limits nothing", path) for name, _, path in _written(ours)]
    for group, entry in ours.coordinator.settings.code_location_limits.groups.items():
        path: Path = (*ours.options, LIMITS, "groups", group, "locations")
        for index, name in enumerate(entry.locations):
            named.append((name, f"{name!r} in the group {group!r}", "it has no part in it", (*path, index)))
    for name, subject, consequence, path in named:
        if known is not None and name not in known and not is_pattern(name):
            near = most_similar(name, known)
            cure = "remove it" + (f", or write a deployment's name, the nearest is {near!r}" if near else "")
            yield values.finding(path, f"{subject} names no deployment, so {consequence}", cure)


def _at_once(limits: Mapping[str, int], groups: Iterable[Group]) -> int:
    """How many runs the limits let be in progress at once, those of groups taken in."""
    left, needed = dict(limits), 0
    for group in groups:
        limited = [left.pop(name) for name in group.locations if name in left]
        everybody_is_limited = len(limited) == len(group.locations)
        all_of_them = sum(limited)
        if group.limit is not None:
            all_of_them = min(group.limit, all_of_them) if everybody_is_limited else group.limit
        needed += all_of_them
    return needed + sum(left.values())


def _total(values: Values, instance: Instance, ours: Loaded) -> Iterator[Finding]:
    """Whether the limits can be reached: one by one with fair sharing, else all at once."""
    settings = ours.coordinator.settings
    limits: dict[str, int] = {}
    for name, limit, _ in _written(ours):
        if limit is not None:
            limits[name] = min(limit, limits.get(name, limit))
    groups = list(settings.code_location_limits.groups.values())
    others = [settings.code_location_limits.default.limit, *(group.limit for group in groups)]
    largest = max([0, *limits.values(), *(limit for limit in others if limit is not None)])
    needed = largest if settings.is_fair else max(_at_once(limits, groups), largest)

    path: Path = (*ours.options, MAX)
    most: Any = values.get(*path)
    if MAX in instance.runs:
        path, most = instance.path(CONCURRENCY, "runs", MAX), instance.runs[MAX]
    name, cure = dotted(path[-1:]), f"write {needed} or more"
    if most is None and MAX not in instance.runs:
        what = f"{MAX!r} is missing, so the class's own default of {_CLASS_DEFAULT} runs holds"
        cure = f"write '{MAX}: {needed}' or more" if needed else "write it, -1 for no limit"
    elif not isinstance(most, int) or most < 0:  # from an environment variable, or no limit
        return
    elif most == 0:
        what, cure = f"{name!r} is 0, so no run starts", f"write {needed or 'a number above 0'}"
    elif most < largest:
        what = f"{name!r} is {most}, so the limit of {largest} can't be reached"
    elif most < needed:
        what = f"{name!r} is {most}, so the limits, {needed} in all, can't be reached at once"
        cure += f", or share the slots with '{LIMITS}: {{sharing: fair}}'"
    else:
        return
    yield values.finding(path, what, cure)
