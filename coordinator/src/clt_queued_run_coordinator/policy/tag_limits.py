"""Dagster's tag limits: which of them limit single code locations, and the limits in force as tag limits. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY

CODE_LOCATION_KEYS = (CLT_TAG_KEY, "dagster/code_location")
"""The keys of the tags that name a run's code location: this package's, and Dagster's own from 1.12.10 on."""


def as_tag_limits(
    limits: Mapping[str, int | None],
    default: int | None,
    configured: Iterable[Mapping[str, Any]] = (),
    *,
    applied: bool,
) -> list[dict[str, Any]]:
    """The limits in force as tag limits, for Dagster's UI to show or for Dagster's daemon to apply.

    Args:
        limits: The most runs in progress of each known code location; None for no limit.
        default: The limit of every other code location; None for no limit.
        configured: Dagster's own `tag_concurrency_limits`. The ones on single code locations are already part of
            `limits` and `default`, so that no two entries have the same key and value; Dagster would let the last
            one win.
        applied: Whether Dagster's daemon applies them. It applies the limit per unique value to the known code
            locations as well, and the smallest limit decides. So it gets the largest of all limits there, and
            none where a code location has no limit. People are shown the default.
    """
    known = {name: limit for name, limit in sorted(limits.items()) if limit is not None}
    per_value = default
    if applied and default is not None:
        per_value = max([default, *known.values()]) if len(known) == len(limits) else None
    by_value: list[tuple[object, int]] = list(known.items())
    if per_value is not None:
        by_value.append(({"applyLimitPerUniqueValue": True}, per_value))
    return [
        *other_tag_limits(configured),
        *({"key": CLT_TAG_KEY, "value": value, "limit": limit} for value, limit in by_value),
    ]


def other_tag_limits(configured: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Dagster's own tag limits, without the ones on single code locations."""
    return [dict(entry) for entry in configured if not (_named(entry) or _is_on_each_code_location(entry))]


def limits_code_location(entry: Mapping[str, Any], code_location: str) -> bool:
    """Whether one of Dagster's tag limits applies to the runs of this code location alone."""
    return _named(entry) == code_location or _is_on_each_code_location(entry)


def code_locations_named_in(configured: Iterable[Mapping[str, Any]]) -> set[str]:
    """The code locations that Dagster's own tag limits name by value."""
    return {name for entry in configured if (name := _named(entry))}


def is_per_unique_value(entry: Mapping[str, Any]) -> bool:
    """Whether one of Dagster's tag limits has `applyLimitPerUniqueValue`."""
    value = entry.get("value")
    return isinstance(value, Mapping) and bool(value.get("applyLimitPerUniqueValue"))


def _named(entry: Mapping[str, Any]) -> str | None:
    """The code location that one of Dagster's tag limits names."""
    value = entry.get("value")
    return value if entry["key"] in CODE_LOCATION_KEYS and isinstance(value, str) else None


def _is_on_each_code_location(entry: Mapping[str, Any]) -> bool:
    return entry["key"] in CODE_LOCATION_KEYS and is_per_unique_value(entry)
