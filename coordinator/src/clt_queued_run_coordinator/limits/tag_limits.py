"""Limits of code locations in the form that Dagster's daemon applies: tag limits. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from clt_queued_run_coordinator.limits.in_force import is_per_unique_value
from clt_queued_run_coordinator.tagging.code_location_tag import CLT_TAG_KEY


def as_tag_limits(
    limits: Mapping[str, int | None],
    default: int | None,
    configured: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """The tag limits for the daemon.

    Args:
        limits: The most runs in progress that carry the tag, of each known code location; None for no limit.
        default: The limit of every other code location; None for no limit.
        configured: Dagster's own `tag_concurrency_limits`. `limits` has those on single code locations in it
            already, so that no two entries have the same key and value: Dagster lets the last one win.

    Returns:
        A limit for each known code location, the other configured limits as they are, and, where there is a
        default, one per unique value for a code location whose first run is queued later in this tick. That one
        holds for the known ones as well, so it is the largest limit among them: for such a code location it
        bounds the runs of one tick, from the next tick on its own limit holds.
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
    """Those of Dagster's own tag limits that don't limit single code locations."""
    return [dict(entry) for entry in configured if not _is_on_code_locations(entry)]


def _is_on_each_code_location(entry: Mapping[str, Any]) -> bool:
    return bool(entry["key"] == CLT_TAG_KEY) and is_per_unique_value(entry)


def _is_on_code_locations(entry: Mapping[str, Any]) -> bool:
    return _is_on_each_code_location(entry) or (
        entry["key"] == CLT_TAG_KEY and isinstance(entry.get("value"), str)
    )
