"""The kinds of values that options take: what each one accepts, and its type in Dagster's schema. Pure.

Dagster has usually checked a value against the schema before. A Helm values file comes as it was written, so the
kinds check everything again: whatever is written is taken, or refused in one line that names the key.
"""

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import dagster

from clt_queued_run_coordinator.config.duration import EXAMPLES, LONGEST, seconds_of
from clt_queued_run_coordinator.text.safe import LONGEST_CELL, safe

LARGEST_WHOLE_NUMBER = 2**31 - 1
"""The largest number of runs, the same as that of a PostgreSQL integer."""

_values = reprlib.Repr()
_values.maxlevel, _values.maxstring, _values.maxlong, _values.maxother = 2, *(3 * [100])


class ConfigurationError(Exception):
    """The configuration can't be applied. The message names the key, the value and the cure."""


def wrong(key: str, value: object, expected: str) -> ConfigurationError:
    """The refusal of a value under a key path such as `code_location_limits.default`.

    `expected` says what it must be; a cure may follow after a semicolon.
    """
    return ConfigurationError(f"{key} is {_shown(value)}; it must be {expected}.")


def path(key: str, name: object) -> str:
    """The key path of a name in a mapping."""
    return f"{key}.{safe(name if isinstance(name, str) else _shown(name), LONGEST_CELL)}"


def _shown(value: object) -> str:
    try:
        return "null or left out" if value is None else _values.repr(value)
    except ValueError:
        return "a number too long to show"  # Python refuses to write numbers of more than 4,300 digits


@dataclass(frozen=True)
class Kind:
    """What an option takes: its type in Dagster's schema, and how a value is parsed.

    `parse` takes a value's key path and the value. It raises a ConfigurationError.
    """

    schema: Any
    parse: Callable[[str, object], Any]


def checked(schema: type, expected: str, accepts: Callable[[Any], bool] = lambda _: True) -> Kind:
    """A kind whose values are taken as they are.

    `accepts` gets only values of the type, and has to be false for NaN and infinity. For a float, whole numbers
    are taken too. For Python `true` is a number; here it isn't.
    """
    types = (float, int) if schema is float else (schema,)

    def parse(key: str, value: object) -> Any:
        if type(value) not in types or not accepts(value):
            raise wrong(key, value, expected)
        return schema(value)

    return Kind(schema, parse)


def whole_number(least: int) -> Kind:
    """A whole number of runs."""
    at_least = checked(int, f"a whole number of runs, {least} or more", lambda value: value >= least)
    at_most = checked(int, f"{LARGEST_WHOLE_NUMBER} or less", lambda value: value <= LARGEST_WHOLE_NUMBER)
    return Kind(int, lambda key, value: at_most.parse(key, at_least.parse(key, value)))


def _parse_duration(key: str, value: object) -> int:
    try:
        seconds = seconds_of(value) if isinstance(value, str) else 0
    except ValueError:
        seconds = 0
    if not 0 < seconds <= LONGEST.total_seconds():
        raise wrong(key, value, f"a duration of {LONGEST.days}d at most, {EXAMPLES}")
    return seconds


Duration = Annotated[int, Kind(str, _parse_duration)]
"""A duration, written as text; the value is in seconds."""
Name = Annotated[str, checked(str, "a name, as text", lambda value: bool(value.strip()))]
"""A name that users choose."""
Runs = Annotated[int, whole_number(0)]
"""A number of runs."""


def option(description: str, default: Any = MISSING, *, key: str = "", is_short: bool = False) -> Any:
    """An attribute of a dataclass that is a key in a mapping of the configuration.

    Args:
        description: What it does, for Dagster's schema.
        default: The value where it is left out or null; an empty dict is made anew. Without one it is required.
        key: The key, where that isn't the attribute's name.
        is_short: Whether the option's value may be written in place of the whole mapping.
    """
    metadata = {"description": description, "key": key, "is_short": is_short}
    if default == {}:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


def mapping(model: type, *, made: Callable[..., Any] | None = None, without: str = "") -> Kind:
    """A mapping with known keys: the attributes of a dataclass, all but one if it can't have that.

    The value is made from the attributes that are given, as the dataclass if nothing else is said.
    """
    make = made or model
    hints = get_type_hints(model, include_extras=True)
    options = {each.metadata["key"] or each.name: each for each in fields(model) if each.name != without}
    kinds = {key: kind_of(hints[each.name]) for key, each in options.items()}
    required = {key for key, each in options.items() if each.default is each.default_factory is MISSING}
    short = next((key for key, each in options.items() if each.metadata["is_short"]), None)
    expected = f"a mapping of {', '.join(options)}" + (f", or just the {short}" if short else "")

    def parse(key: str, value: object) -> Any:
        if short and isinstance(value, int | float | str):
            return make(**{short: kinds[short].parse(key, value)})
        if not isinstance(value, Mapping):
            raise wrong(key, value, expected)
        for name in value:
            if name not in options:
                known = ", ".join(sorted(options))
                raise ConfigurationError(f"{path(key, name)} is not an option; known are {known}.")
        return make(
            **{
                each.name: kinds[name].parse(f"{key}.{name}", value.get(name))
                for name, each in options.items()
                if name in required or value.get(name) is not None
            }
        )

    def in_schema(key: str) -> dagster.Field:
        schema = kinds[key].schema if key in required else dagster.Noneable(kinds[key].schema)
        description = options[key].metadata["description"]
        return dagster.Field(schema, is_required=key in required, description=description)

    shape = dagster.Shape({key: in_schema(key) for key in options})
    return Kind(dagster.ScalarUnion(kinds[short].schema, shape) if short else shape, parse)


def kind_of(hint: Any) -> Kind:
    """The kind of the values that a type stands for.

    The type is annotated with a kind, or it is a dataclass of options, a tuple for a list, or a mapping from names
    with a label for Dagster's schema; or one of these or None.
    """
    parts = get_args(hint)
    if get_origin(hint) is Annotated:
        kind: Kind = parts[1]
        return kind
    if NoneType in parts:
        return kind_of(parts[0])
    if get_origin(hint) is tuple:
        return _list_of(kind_of(parts[0]))
    if get_origin(hint) is Mapping:
        _, name, label = get_args(parts[0])
        return _map_of(name, label, kind_of(parts[1]))
    return mapping(hint)


def _list_of(item: Kind) -> Kind:
    def parse(key: str, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise wrong(key, value, "a list")
        return tuple(item.parse(f"{key}[{place}]", each) for place, each in enumerate(value))

    return Kind(dagster.Array(item.schema), parse)


def _map_of(name: Kind, label: str, item: Kind) -> Kind:
    def parse(key: str, value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise wrong(key, value, "a mapping of names")
        return {name.parse(f"{key}: a key", each): item.parse(path(key, each), value[each]) for each in value}

    return Kind(dagster.Map(name.schema, item.schema, key_label_name=label), parse)
