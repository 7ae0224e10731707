"""The keys that a chart knows: from its schema, its default values, and what its templates read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from clt_queued_run_coordinator.helm.chart import Chart

USER_DEPLOYMENTS = "dagster-user-deployments"
"""Dagster's own subchart, whose keys are known; the schemas of its other subcharts are partial."""

_ITEM = "[]"
_REFERENCE = r"(?:\$_?)?\.Values(?P<values>(?:\.\w+)*)|\$(?P<variable>[A-Za-z]\w*)(?P<below>(?:\.\w+)+)"
_BINDING = re.compile(
    r"(?P<range>range\s+)?\$(?P<name>[A-Za-z]\w*)\s*:=\s*"
    r"(?:index\s+\.Values\s+\"(?P<index>[^\"]+)\"|(?:omit\s+)?(?:" + _REFERENCE + r"))"
)


@dataclass
class Known:
    """A mapping or list in a chart's values.

    Attributes:
        keys: The keys that are known here.
        item: What the items of the list are, None where nothing is known of them.
        free: Any key is right here, such as in labels or in a part of a Kubernetes object.
        listed: The schema lists the keys.
        whole: A template reads it as a whole, so that it may use keys which nothing lists.
    """

    keys: dict[str, "Known"] = field(default_factory=dict)
    item: "Known | None" = None
    free: bool = False
    listed: bool = False
    whole: bool = False

    @property
    def complete(self) -> bool:
        """Whether a key that is not among the known ones is a mistake."""
        return bool(self.keys) and not self.free and (self.listed or not self.whole)

    def at(self, part: str) -> "Known":
        """What is known at a key or, for `[]`, of a list's items; made where nothing was known."""
        if part == _ITEM:
            self.item = self.item or Known()
            return self.item
        return self.keys.setdefault(part, Known())

    def add(self, other: "Known") -> None:
        """Add what another source knows of the same place."""
        for key, below in other.keys.items():
            self.at(key).add(below)
        if other.item:
            self.at(_ITEM).add(other.item)
        self.free |= other.free
        self.listed |= other.listed
        self.whole |= other.whole


def known_keys(chart: Chart) -> Known:
    """The keys that a chart and its subcharts know."""
    known = Known()
    if chart.schema:
        _add_schema(known, chart.schema, chart.schema, ())
    _add_defaults(known, chart.values)
    for template in chart.templates:
        for path in _references(template):
            place = known
            for part in path:
                place = place.at(part)
            place.whole = True
    known.whole = False  # a template that hands on all values is no sign of further keys
    for name, subchart in chart.subcharts.items():
        if name == USER_DEPLOYMENTS:
            known.at(name).add(known_keys(subchart))
        else:
            known.at(name).free = True
    # Helm's own: handed on to every subchart, and switches for subcharts.
    known.at("global").free = True
    known.at("tags").free = True
    return known


def _add_schema(known: Known, schema: Any, root: dict[str, Any], above: tuple[str, ...]) -> None:
    """Add what a JSON schema says of a place."""
    if not isinstance(schema, dict):
        known.free = True
        return
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference not in above:
        name = reference.rpartition("/")[2]
        definitions = {**root.get("definitions", {}), **root.get("$defs", {})}
        if reference.startswith("#/") and name in definitions:
            _add_schema(known, definitions[name], root, (*above, reference))
        else:  # a schema kept elsewhere: Kubernetes'
            known.free = True
    alternatives = [
        part for kind in ("allOf", "anyOf", "oneOf") for part in schema.get(kind, []) if "if" not in part
    ]
    for part in alternatives:
        _add_schema(known, part, root, above)
    properties = schema.get("properties", {})
    for key, below in properties.items():
        _add_schema(known.at(key), below, root, above)
    known.listed |= bool(properties)
    if "items" in schema:
        _add_schema(known.at(_ITEM), schema["items"], root, above)
    # `additionalProperties: true` beside listed properties says only that Helm won't refuse a misspelt key.
    says_nothing = not (properties or reference or alternatives) and schema.get("type", "object") == "object"
    known.free |= says_nothing or isinstance(schema.get("additionalProperties"), dict)


def _add_defaults(known: Known, value: Any) -> None:
    """Add the keys of default values."""
    if isinstance(value, dict):
        for key, below in value.items():
            _add_defaults(known.at(key), below)
    if isinstance(value, list):
        for below in value:
            _add_defaults(known.at(_ITEM), below)


def _references(template: str) -> Iterator[tuple[str, ...]]:
    """The paths of the values that a template reads, also through a variable that it binds to one."""
    bound: dict[str, tuple[str, ...]] = {}
    for match in _BINDING.finditer(template):
        path = (match["index"],) if match["index"] else _path(match, bound)
        if path is not None:
            bound[match["name"]] = (*path, _ITEM) if match["range"] else path
    for match in re.finditer(_REFERENCE, template):
        path = _path(match, bound)
        if path is not None:
            yield path


def _path(match: re.Match[str], bound: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    """The path that a reference reads, None where its variable is not bound to a value."""
    if match["variable"]:
        if match["variable"] not in bound:
            return None
        return (*bound[match["variable"]], *match["below"].strip(".").split("."))
    return tuple(part for part in match["values"].split(".") if part)
