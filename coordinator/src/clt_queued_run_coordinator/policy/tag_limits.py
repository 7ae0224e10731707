"""Expresses the limits of code locations as tag limits, which Dagster's daemon applies. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from clt_queued_run_coordinator.policy.in_force import is_per_unique_value
from clt_queued_run_coordinator.store.code_location import CLT_TAG_KEY


def as_tag_limits(
    limits: Mapping[str, int | None],
    default: int | None,
    configured: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """The tag limits for the daemon.

    Args:
        limits: The most runs in progress with the tag, for each known code location; None for no limit.
        default: The limit of every other code location; None for no limit.
        configured: Dagster's own `tag_concurrency_limits`. The ones on single code locations are already part of
            `limits`, so that no two entries have the same key and value; Dagster would let the last one win.

    Returns:
        A limit for each known code location, and the other configured limits unchanged. If there is a default,
        there is also a limit per unique value, for a code location whose first run is queued later in this tick.
        It applies to the known code locations as well, so it has to be as large as the largest of their limits.
        It bounds a new code location for one tick; from the next tick on, that code location has its own limit.
    """
    catch_all = [entry["limit"] for entry in configured if _is_on_each_code_location(entry)]
    if default is not None and None not in limits.values():
        catch_all.append(max([default, *(limit for limit in limits.values() if limit is not None)]))
    return [
        *other_tag_limits(configured),
        *(
            {"key": CLT_TAG_KEY, "value": code_location, "limit": limit}
            for code_location, limit in sorted(limits.items())
            if limit is not None
        ),
        *(
            [{"key": CLT_TAG_KEY, "value": {"applyLimitPerUniqueValue": True}, "limit": min(catch_all)}]
            if catch_all
            else []
        ),
    ]


def other_tag_limits(configured: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Dagster's own tag limits, without the ones on single code locations."""
    return [dict(entry) for entry in configured if not _is_on_code_locations(entry)]


def _is_on_each_code_location(entry: Mapping[str, Any]) -> bool:
    return bool(entry["key"] == CLT_TAG_KEY) and is_per_unique_value(entry)


def _is_on_code_locations(entry: Mapping[str, Any]) -> bool:
    return _is_on_each_code_location(entry) or (
        entry["key"] == CLT_TAG_KEY and isinstance(entry.get("value"), str)
    )
