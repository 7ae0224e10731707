"""The whole option `code_location_limits`: its schema for Dagster, its values, and what contradicts itself."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from dagster import Field, Noneable

from clt_queued_run_coordinator.config.kinds import ConfigurationError, mapping, path, wrong
from clt_queued_run_coordinator.config.options import OPTION, CodeLocationEntry, CodeLocationLimits
from clt_queued_run_coordinator.config.patterns import is_pattern

_log = logging.getLogger("dagster.run_coordinator.clt_queued_run_coordinator")
_KIND = mapping(CodeLocationLimits, made=dict)

NAMED_AT_MOST = 5
"""The most code locations and groups that a message names."""


def schema() -> Field:
    """The option as Dagster's configuration system checks it. `parse` refuses what a schema can't express."""
    description = "Limits on the runs in progress of each code location."
    return Field(Noneable(_KIND.schema), is_required=False, description=description)


def parse(option: Mapping[str, Any] | None) -> CodeLocationLimits:
    """The option's value, whether Dagster has checked it or not; None if it isn't configured.

    Raises:
        ConfigurationError: It can't be applied.
    """
    written = _KIND.parse(OPTION, {} if option is None else option)
    if written.pop("queue_reading", None):
        _log.info("%s.queue_reading is ignored; remove it.", OPTION)
    default = written.pop("default", {})
    entries = {name: CodeLocationEntry(**default | own) for name, own in written.pop("entries", {}).items()}
    limits = CodeLocationLimits(CodeLocationEntry(**default), entries, **written)
    if limits.slot is not None and not limits.slot:
        raise wrong(f"{OPTION}.slot", {}, "left out, or a mapping of at least one resource, such as {cpu: 1}")
    for name, entry in entries.items():
        if entry.min and is_pattern(name):
            raise wrong(
                f"{path(f'{OPTION}.locations', name)}.min", entry.min, "left out: a pattern reserves no slots"
            )
        _refuse_above_limit(path(f"{OPTION}.locations", name), entry.min, entry.limit)
    _refuse_contradicting_groups(limits)
    return limits


def _refuse_contradicting_groups(limits: CodeLocationLimits) -> None:
    groups_of = Counter(location for group in limits.groups.values() for location in group.locations)
    for name, group in limits.groups.items():
        key = path(f"{OPTION}.groups", name)
        if not group.locations:
            raise wrong(f"{key}.locations", [], "a list of at least one code location")
        for location in group.locations:
            if groups_of[location] > 1:
                raise wrong(f"{key}.locations", list(group.locations), f"without {location!r} a second time")
        _refuse_above_limit(key, group.min, group.limit)
        needed = sum(limits.entry(location).min for location in group.locations)
        if group.limit is not None and needed > group.limit:
            expected = f"{needed} or more, the sum of its code locations' mins; raise it, or lower one of those"
            raise wrong(f"{key}.limit", group.limit, expected)


def _refuse_above_limit(key: str, minimum: int, limit: int | None) -> None:
    if limit is not None and minimum > limit:
        raise wrong(f"{key}.min", minimum, f"{limit} or less, its limit; lower it, or raise the limit")


def refuse_minimums_above_total(limits: CodeLocationLimits, total: int, total_key: str) -> None:
    """Refuse minimums that reserve more slots than the `max_concurrent_runs` in force, if that isn't -1.

    A group reserves its own minimum or the sum of its code locations' minimums, whichever is larger. A live limit
    or a pause below a minimum is no contradiction. It caps the minimum while it is in force.

    Raises:
        ConfigurationError: The minimums add up to more than the total. The message names the key that sets it.
    """
    slots = {
        f"groups.{name}": max(group.min, sum(limits.entry(location).min for location in group.locations))
        for name, group in limits.groups.items()
    }
    slots |= {
        f"locations.{name}": entry.min for name, entry in limits.entries.items() if name not in limits.group_of
    }
    needed = sum(slots.values())
    if not 0 <= total < needed:
        return
    by_size = sorted((-number, name) for name, number in slots.items() if number)
    named = [f"{name} {-number}" for number, name in by_size[:NAMED_AT_MOST]]
    named += [f"and {len(by_size) - NAMED_AT_MOST} more"] if len(by_size) > NAMED_AT_MOST else []
    raise ConfigurationError(
        f"{OPTION} reserves {needed} slots ({', '.join(named)}), but {total_key} is {total}; lower a min, or raise"
        f" the total to {needed} or more."
    )
