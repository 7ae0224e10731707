"""Values as plain data to store, and what was stored as values again, whatever it is. Pure.

Another version or a person may have written it. So a part that isn't what it should be counts as missing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

_LARGEST = 2**63 - 1
_MOST_DIGITS = 18


def read(kind: Any, data: Any) -> Any:
    """Plain data as a value of a type; None if it isn't one.

    A field of a dataclass that isn't of its type has its default. If it has none, the whole isn't one. What isn't
    of its type is left out of a collection. An `int` is a `count`, and a `float` a `number`.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _READERS:
        return _READERS[kind](data)
    if NoneType in arguments:
        return read(arguments[0], data)
    if is_dataclass(kind):
        return _read_dataclass(kind, data) if isinstance(data, dict) else None
    if origin in (Mapping, dict) and isinstance(data, dict):
        pairs = ((_read_key(arguments[0], key), read(arguments[1], part)) for key, part in data.items())
        return {key: part for key, part in pairs if key is not None and part is not None}
    if origin in (tuple, list, frozenset) and isinstance(data, list):
        return origin(part for part in (read(arguments[0], part) for part in data) if part is not None)
    return None


def _read_dataclass(kind: Any, data: dict[str, Any]) -> Any:
    parts = {name: read(of_part, data[name]) for name, of_part in _fields(kind).items() if name in data}
    try:
        return kind(**{name: part for name, part in parts.items() if part is not None})
    except TypeError:  # a field without a default is missing
        return None


@cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _read_key(kind: Any, key: str) -> Any:
    if kind is int:
        return int(key) if key.isdecimal() and len(key) <= _MOST_DIGITS else None
    return next((member for member in kind if member.value == key), None) if issubclass(kind, Enum) else key


def write(value: Any) -> Any:
    """A value as plain data for JSON, which `read` reads. Fields that are None or empty are left out."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return round(value, 6)
    if is_dataclass(value):
        parts = ((field.name, write(getattr(value, field.name))) for field in fields(value))
        return {name: part for name, part in parts if part not in (None, "", [], {})}
    if isinstance(value, Mapping):
        return {key.value if isinstance(key, Enum) else str(key): write(part) for key, part in value.items()}
    return [write(part) for part in (sorted(value) if isinstance(value, frozenset) else value)]


def number(value: Any) -> float | None:
    """A part as a finite number; None if it isn't one."""
    try:
        found = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def count(value: Any) -> int | None:
    """A part as a number of things, from 0 to what a database's largest integer holds."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and 0 <= value <= _LARGEST else None


_READERS: dict[Any, Callable[[Any], Any]] = {
    int: count,
    float: number,
    bool: lambda data: data if isinstance(data, bool) else None,
    str: lambda data: data if isinstance(data, str) else None,
}
