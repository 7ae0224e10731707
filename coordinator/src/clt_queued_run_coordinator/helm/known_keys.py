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
class KnownKeys:
    """A mapping or list in a chart's values.

    Attributes:
        keys: The keys that are known here.
        item: What the items of the list are, None where nothing is known of them.
        takes_any_key: Any key is right here, such as in labels or in a part of a Kubernetes object.
        is_listed: The schema lists the keys.
        is_read_whole: A template reads it as a whole, so that it may use keys which nothing lists.
    """

    keys: dict[str, "KnownKeys"] = field(default_factory=dict)
    item: "KnownKeys | None" = None
    takes_any_key: bool = False
    is_listed: bool = False
    is_read_whole: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether a key that is not among the known ones is a mistake."""
        return bool(self.keys) and not self.takes_any_key and (self.is_listed or not self.is_read_whole)

    def at(self, part: str) -> "KnownKeys":
        """What is known at a key or, for `[]`, of a list's items; made where nothing was known."""
        if part == _ITEM:
            self.item = self.item or KnownKeys()
            return self.item
        return self.keys.setdefault(part, KnownKeys())

    def add(self, other: "KnownKeys") -> None:
        """Add what another source knows of the same place."""
        for key, below in other.keys.items():
            self.at(key).add(below)
        if other.item:
            self.at(_ITEM).add(other.item)
        self.takes_any_key |= other.takes_any_key
        self.is_listed |= other.is_listed
        self.is_read_whole |= other.is_read_whole


def known_keys(chart: Chart) -> KnownKeys:
    """The keys that a chart and its subcharts know."""
    known = KnownKeys()
    if chart.schema:
        _add_schema(known, chart.schema, chart.schema, ())
    _add_defaults(known, chart.values)
    for template in chart.templates:
        for path in _references(template):
            place = known
            for part in path:
                place = place.at(part)
            place.is_read_whole = True
    known.is_read_whole = False  # a template that hands on all values is no sign of further keys
    for name, subchart in chart.subcharts.items():
        if name == USER_DEPLOYMENTS:
            known.at(name).add(known_keys(subchart))
        else:
            known.at(name).takes_any_key = True
    # Helm's own: handed on to every subchart, and switches for subcharts.
    known.at("global").takes_any_key = True
    known.at("tags").takes_any_key = True
    return known


def _add_schema(known: KnownKeys, schema: Any, root: dict[str, Any], above: tuple[str, ...]) -> None:
    """Add what a JSON schema says of a place."""
    if not isinstance(schema, dict):
        known.takes_any_key = True
        return
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference not in above:
        name = reference.rpartition("/")[2]
        definitions = {**root.get("definitions", {}), **root.get("$defs", {})}
        if reference.startswith("#/") and name in definitions:
            _add_schema(known, definitions[name], root, (*above, reference))
        else:  # a schema kept elsewhere: Kubernetes'
            known.takes_any_key = True
    alternatives = [
        part for kind in ("allOf", "anyOf", "oneOf") for part in schema.get(kind, []) if "if" not in part
    ]
    for part in alternatives:
        _add_schema(known, part, root, above)
    properties = schema.get("properties", {})
    for key, below in properties.items():
        _add_schema(known.at(key), below, root, above)
    known.is_listed |= bool(properties)
    if "items" in schema:
        _add_schema(known.at(_ITEM), schema["items"], root, above)
    # `additionalProperties: true` beside listed properties says only that Helm won't refuse a misspelt key.
    says_nothing = not (properties or reference or alternatives) and schema.get("type", "object") == "object"
    known.takes_any_key |= says_nothing or isinstance(schema.get("additionalProperties"), dict)


def _add_defaults(known: KnownKeys, value: Any) -> None:
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
