"""Keys and values that a chart doesn't take: Helm ignores most unknown keys silently, and refuses the rest."""

from collections.abc import Iterable, Iterator
from typing import Any

import jsonschema
import referencing.exceptions
from clt_queued_run_coordinator.operate.finding import Finding
from clt_queued_run_coordinator.text.safe import one_line
from clt_queued_run_coordinator.text.similar_names import most_similar

from dagster_deploy_tools.chart import Chart
from dagster_deploy_tools.values import USER_DEPLOYMENTS, Values, merged
from dagster_deploy_tools.yaml_file import HelmInputError, Path, dotted

_OF_HELM = {"global", "tags", "exports"}
_BY_TEMPLATES_ONLY: set[Path] = {
    ("extraManifests",),
    ("flower", "env"),
    ("ingress", "readOnlyDagit"),
    (USER_DEPLOYMENTS, "global"),
}
_BY_TEMPLATES_ANYWHERE = {"nameOverride", "fullnameOverride"}
"""What the chart reads without having it in schema or default values."""
_IGNORED = "x-ignored-by-helm"
"""A mark in a schema: Helm takes further keys here, and nothing reads them."""


def key_findings(values: Values, chart: Chart) -> Iterator[Finding]:
    """Findings on keys that the chart doesn't know, and on values that Helm refuses by the chart's schema."""
    defaults = Values(chart.values, chart.place)
    schema = _closed(chart.schema)
    listed: dict[str, Any] = schema.setdefault("properties", {})
    for key, value in chart.values.items():
        # Default values list no optional keys, so only their first level is taken for all that there is.
        listed.setdefault(key, _taking_only(value) if isinstance(value, dict) and value else {})
    for key in (chart.dependencies | _OF_HELM) - {USER_DEPLOYMENTS}:  # of theirs the schema has a few keys at most
        listed[key] = {}
    try:
        validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)(schema)
        given = merged(chart.values, values.data, drop_nulls=True)
        mistakes = [mistake for error in validator.iter_errors(given) for mistake in _mistakes(error)]
    except (jsonschema.SchemaError, referencing.exceptions.Unresolvable, RecursionError, AttributeError) as error:
        raise HelmInputError(f"{chart.place}/values.schema.json: can't be used: {one_line(str(error))}") from error
    for mistake in mistakes:
        path: Path = tuple(mistake.absolute_path)
        if mistake.validator != "additionalProperties":
            message = one_line(mistake.message.replace(repr(mistake.instance), "it", 1))
            yield values.finding(path, f"Helm refuses {dotted(path) or 'the values'!r}: {message}", "correct it")
            continue
        default = defaults.block(*(0 if isinstance(part, int) else part for part in path))
        known = {*mistake.schema["properties"], *default}
        for key, value in values.block(*path).items():
            here = (*path, key)
            if (
                key in known | _BY_TEMPLATES_ANYWHERE or here in _BY_TEMPLATES_ONLY or value is None
            ):  # null deletes a key
                continue
            cure = _cure(here, known, defaults, values)
            if cure:
                consequence = "ignores it" if mistake.schema.get(_IGNORED) else "refuses the values"
                yield values.finding(here, f"the chart knows no key {dotted(here)!r}, so Helm {consequence}", cure)


def _mistakes(error: jsonschema.ValidationError) -> Iterator[jsonschema.ValidationError]:
    """The mistakes in the one alternative that is meant: that of the value's type."""
    branches: dict[Any, list[jsonschema.ValidationError]] = {}
    for below in error.context:
        branches.setdefault(below.schema_path[0], []).append(below)
    meant = [
        branch
        for branch in branches.values()
        if not any(below.validator == "type" and not below.relative_path for below in branch)
    ]
    if len(meant) == 1:
        for below in meant[0]:
            yield from _mistakes(below)
    else:
        yield error


def _closed(schema: Any) -> Any:
    """The schema, in which a mapping takes no other keys than those that are listed.

    What refers to a schema that is kept elsewhere takes any: those are Kubernetes' own.
    """
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if not str(schema.get("$ref", "#")).startswith("#"):
        return {"type": schema["type"]} if "type" in schema else {}
    conditions = [part for part in schema.get("allOf", []) if "if" in part]
    closed = {
        key: {name: _closed(part) for name, part in value.items()} if key in ("properties", "$defs", "definitions")
        else _closed(value) if key in ("items", "anyOf", "oneOf", "allOf") and not (key == "allOf" and conditions)
        else value
        for key, value in schema.items()
    }  # fmt: skip
    if schema.get("properties") and schema.get("additionalProperties", True) is True:
        closed |= {"additionalProperties": False, _IGNORED: True}
    return closed


def _taking_only(keys: Iterable[str]) -> dict[str, Any]:
    return {"properties": {key: {} for key in keys}, "additionalProperties": False, _IGNORED: True}


def _cure(path: Path, known: set[str], defaults: Values, values: Values) -> str | None:
    """What to write instead: the nearest key beside it, else the same key elsewhere in the chart."""
    key = str(path[-1])
    near = most_similar(key, known)
    if len(path) == 1 and not known.isdisjoint(values.block(key)):
        return "move what is in it to the top, or name with --chart the chart that depends on this one"
    if near:
        return f"write {dotted((*path[:-1], near))!r}"
    elsewhere = min(_places(key, defaults.data, ()), key=len, default=None)
    if elsewhere:
        return f"the chart knows it as {dotted(elsewhere)!r}"
    if (
        len(path) == 1 and key in values.data.anchored
    ):  # only holds what aliases stand for, as many files begin with
        return None
    return f"remove it, or write one of {', '.join(sorted(known))}"


def _places(key: str, value: Any, path: Path) -> Iterator[Path]:
    """The paths at which default values have a key, outside lists."""
    for name, below in value.items() if isinstance(value, dict) else ():
        if name == key:
            yield (*path, name)
        yield from _places(key, below, (*path, name))
