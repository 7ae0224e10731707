"""The whole option `code_location_limits`: its schema for Dagster, and the values that it stands for."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from dagster import Field, Noneable

from clt_queued_run_coordinator.config.kinds import mapping, path, wrong
from clt_queued_run_coordinator.config.options import (
    OPTION,
    CodeLocationEntry,
    CodeLocationLimits,
    Sharing,
    WrittenOption,
)

_log = logging.getLogger("dagster.run_coordinator.clt_queued_run_coordinator")
_KIND = mapping(WrittenOption)


def schema() -> Field:
    """The option as Dagster's configuration system checks it. `parse` refuses what a schema can't express."""
    description = "Limits on the runs in progress of each code location."
    return Field(Noneable(_KIND.schema), is_required=False, description=description)


def parse(option: Mapping[str, Any] | None) -> CodeLocationLimits:
    """The option's value.

    Args:
        option: As it is configured, whether Dagster has checked it or not; None if it isn't configured.

    Raises:
        ConfigurationError: It can't be applied.
    """
    written: WrittenOption = _KIND.parse(OPTION, {} if option is None else option)
    if written.queue_reading is not None:
        _log.info("%s.queue_reading is ignored; remove it.", OPTION)
    limits = CodeLocationLimits(
        default=CodeLocationEntry(**written.default),
        entries={name: CodeLocationEntry(**written.default | own) for name, own in written.locations.items()},
        groups=written.groups,
        sharing=Sharing(written.sharing.kind),
        half_life=written.sharing.half_life,
    )
    for name, entry in limits.entries.items():
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
