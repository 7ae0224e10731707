"""Turns the option `code_location_limits` into values, and refuses what can't be applied. Pure.

Dagster's configuration system has usually checked the option against `schema` before. `dagster-clt check --values`
parses a Helm values file that no schema has checked, so wrong keys and types are refused here as well.
"""

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from clt_queued_run_coordinator.config import windows
from clt_queued_run_coordinator.config.duration import seconds_of
from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.config.options import (
    HALF_LIFE_SECONDS,
    OPTION,
    Breaker,
    CodeLocationEntry,
    CodeLocationLimits,
    Group,
    PerJob,
    QueueReading,
    Sharing,
)
from clt_queued_run_coordinator.config.windows import Window

LARGEST_NUMBER = sys.float_info.max
"""Larger whole numbers can't be converted to a float."""


def parse(option: Mapping[str, Any] | None) -> CodeLocationLimits | None:
    """Parse the option's value.

    Raises:
        ConfigurationError: A value can't be applied. If no schema has checked the option: a key is unknown or a
            value has the wrong type.
    """
    if option is None:
        return None
    _refuse_unknown(option, {"default", "groups", "locations", "sharing", "queue_reading"}, OPTION)
    default = _entry(f"{OPTION}.default", option.get("default"), CodeLocationEntry(), _OF_ANY)
    locations = _mapping(f"{OPTION}.locations", option.get("locations"), "code locations to limits")
    entries = {}
    for name, value in locations.items():
        key = f"{OPTION}.locations.{name}"
        if value is None:
            raise _wrong(key, value, "a whole number of runs, 0 or more, or a mapping such as {limit, weight}")
        entries[name] = _entry(key, value, default, {*_OF_ANY, "min"})
    groups = _groups(f"{OPTION}.groups", option.get("groups"))
    for name, entry in entries.items():
        _refuse_above_limit(f"{OPTION}.locations.{name}.min", entry.min, entry.limit)
    for name, group in groups.items():
        _refuse_above_limit(f"{OPTION}.groups.{name}.min", group.min, group.limit)
        needed = sum(entries.get(location, default).min for location in group.locations)
        if group.limit is not None and needed > group.limit:
            expected = f"{needed} or more, the sum of its code locations' mins; raise it, or lower one of those"
            raise _wrong(f"{OPTION}.groups.{name}.limit", group.limit, expected)
    sharing, half_life = _sharing(f"{OPTION}.sharing", option.get("sharing"))
    reading = _choice(
        f"{OPTION}.queue_reading", option.get("queue_reading") or QueueReading.NARROWED, QueueReading
    )
    if reading is QueueReading.WHOLE:
        _refuse_what_tag_limits_cannot_do(default, entries)
    return CodeLocationLimits(
        default=default,
        entries=entries,
        groups=groups,
        sharing=sharing,
        half_life=half_life,
        queue_reading=reading,
    )


def _refuse_what_tag_limits_cannot_do(
    default: CodeLocationEntry, entries: Mapping[str, CodeLocationEntry]
) -> None:
    named = {f"{OPTION}.locations.{name}": entry for name, entry in entries.items()}
    for key, entry in {f"{OPTION}.default": default, **named}.items():
        of_it = ("max_per_job", "max_per_backfill", "backfill_share")
        needing = [name for name in of_it if getattr(entry, name) != getattr(CodeLocationEntry(), name)]
        if entry.breaker and entry.breaker.manual_launches:
            needing.append("breaker.manual_launches")
        for name in needing:
            raise ConfigurationError(
                f"{key}.{name} needs the narrowed reading of the queue, but {OPTION}.queue_reading is 'whole';"
                " remove one of the two."
            )


_OF_ANY = {
    "backfill_share",
    "breaker",
    "limit",
    "max_per_backfill",
    "max_per_job",
    "max_queued",
    "weight",
    "windows",
}
"""The keys that are valid both for a code location and for the default."""


def _entry(key: str, value: object, inherited: CodeLocationEntry, known: set[str]) -> CodeLocationEntry:
    """Parse an entry. Keys that are left out or null are inherited."""
    if value is None:
        return inherited
    if not isinstance(value, Mapping):
        return replace(inherited, limit=_whole(key, value))
    _refuse_unknown(value, known, key)
    said = {name: of_it for name, of_it in value.items() if of_it is not None}
    parsers: dict[str, Callable[[str, Any], Any]] = {
        "limit": _whole,
        "weight": _above_zero,
        "min": _whole,
        "windows": _windows,
        "max_per_job": _per_job,
        "max_per_backfill": _whole,
        "backfill_share": _part,
        "max_queued": _whole,
        "breaker": _breaker,
    }
    return replace(inherited, **{name: parsers[name](f"{key}.{name}", of_it) for name, of_it in said.items()})


def _refuse_above_limit(key: str, least: int, limit: int | None) -> None:
    if limit is not None and least > limit:
        raise _wrong(key, least, f"{limit} or less, its limit; lower it, or raise the limit")


def _groups(key: str, value: object) -> dict[str, Group]:
    groups = {}
    for name, of_it in _mapping(key, value, "groups to their code locations").items():
        groups[name] = _group(f"{key}.{name}", of_it)
    members = Counter(location for group in groups.values() for location in group.locations)
    for name, group in groups.items():
        for location in group.locations:
            if members[location] > 1:
                raise _wrong(
                    f"{key}.{name}.locations", list(group.locations), f"without {location!r} a second time"
                )
    return groups


def _group(key: str, value: object) -> Group:
    if not isinstance(value, Mapping):
        raise _wrong(key, value, "a mapping such as {locations, limit, weight, min}")
    _refuse_unknown(value, {"locations", "limit", "weight", "min"}, key)
    locations = value.get("locations")
    if not isinstance(locations, Sequence) or isinstance(locations, str) or not locations:
        raise _wrong(f"{key}.locations", locations, "a list of at least one code location")
    for location in locations:
        if not isinstance(location, str) or not location.strip():
            raise _wrong(f"{key}.locations", locations, "a list of the names of code locations")
    limit, weight, least = value.get("limit"), value.get("weight"), value.get("min")
    return Group(
        locations=tuple(locations),
        limit=None if limit is None else _whole(f"{key}.limit", limit),
        weight=1.0 if weight is None else _above_zero(f"{key}.weight", weight),
        min=0 if least is None else _whole(f"{key}.min", least),
    )


def _windows(key: str, value: object) -> tuple[Window, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _wrong(key, value, "a list of windows such as {cron, for, limit}")
    return tuple(_window(f"{key}[{number}]", window) for number, window in enumerate(value))


def _window(key: str, value: object) -> Window:
    if not isinstance(value, Mapping):
        raise _wrong(key, value, "a mapping such as {cron, for, limit}")
    _refuse_unknown(value, {"cron", "for", "limit", "timezone"}, key)
    cron, timezone = value.get("cron"), value.get("timezone")
    if not isinstance(cron, str) or not windows.is_cron(cron):
        raise _wrong(
            f"{key}.cron", cron, "a cron expression of five fields that fires some day, such as '0 8 * * 1-5'"
        )
    if timezone is not None and (not isinstance(timezone, str) or not windows.is_timezone(timezone)):
        raise _wrong(f"{key}.timezone", timezone, "the name of a time zone, such as 'Europe/Berlin'")
    seconds = _duration(f"{key}.for", value.get("for"))
    if seconds > windows.LONGEST.total_seconds():
        raise _wrong(f"{key}.for", value.get("for"), f"{windows.LONGEST.days}d at most")
    return Window(
        cron=cron,
        seconds=seconds,
        limit=_whole(f"{key}.limit", value.get("limit")),
        timezone=timezone or "UTC",
    )


def _per_job(key: str, value: object) -> PerJob:
    if not isinstance(value, Mapping):
        return PerJob(_whole(key, value))
    _refuse_unknown(value, {"default", "jobs"}, key)
    default = value.get("default")
    jobs = _mapping(f"{key}.jobs", value.get("jobs"), "jobs to limits")
    return PerJob(
        default=None if default is None else _whole(f"{key}.default", default),
        jobs={job: _whole(f"{key}.jobs.{job}", limit) for job, limit in jobs.items()},
    )


def _breaker(key: str, value: object) -> Breaker:
    if not isinstance(value, Mapping):
        raise _wrong(key, value, "a mapping such as {failures, within, pause_for}")
    _refuse_unknown(value, {"failures", "manual_launches", "pause_for", "within"}, key)
    failures, manual = value.get("failures"), value.get("manual_launches")
    if isinstance(failures, bool) or not isinstance(failures, int) or failures < 1:
        raise _wrong(f"{key}.failures", failures, "a whole number of runs, 1 or more")
    if manual is not None and not isinstance(manual, bool):
        raise _wrong(f"{key}.manual_launches", manual, "true or false")
    within, pause_for = value.get("within"), value.get("pause_for")
    return Breaker(
        failures=failures,
        within=None if within is None else _duration(f"{key}.within", within),
        pause_for=None if pause_for is None else _duration(f"{key}.pause_for", pause_for),
        manual_launches=bool(manual),
    )


def _sharing(key: str, value: object) -> tuple[Sharing, float]:
    if not isinstance(value, Mapping):
        return _choice(key, value or Sharing.FIFO, Sharing), HALF_LIFE_SECONDS
    _refuse_unknown(value, {"kind", "half_life"}, key)
    half_life = value.get("half_life")
    return (
        _choice(f"{key}.kind", value.get("kind"), Sharing),
        HALF_LIFE_SECONDS if half_life is None else _above_zero(f"{key}.half_life", half_life),
    )


Choice = TypeVar("Choice", Sharing, QueueReading)


def _choice(key: str, value: object, choices: type[Choice]) -> Choice:
    try:
        return choices(value)
    except ValueError:
        raise _wrong(key, value, " or ".join(choice.value for choice in choices)) from None


def _whole(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong(key, value, "a whole number of runs, 0 or more")
    return value


def _above_zero(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST_NUMBER:
        raise _wrong(key, value, "a number above 0")
    return float(value)


def _part(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise _wrong(key, value, "a number above 0 and below 1")
    return float(value)


def _duration(key: str, value: object) -> int:
    try:
        return seconds_of(value if isinstance(value, str) else repr(value))
    except ValueError:
        raise _wrong(key, value, "a duration, such as 45s, 30m, 2h, 1d or 1h30m") from None


def _mapping(key: str, value: object, of_what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(key, value, f"a mapping of {of_what}")
    return value


def _refuse_unknown(value: Mapping[str, Any], known: set[str], key: str) -> None:
    for name in value:
        if name not in known:
            raise ConfigurationError(f"{key}.{name} is not an option; known are {', '.join(sorted(known))}.")


def _wrong(key: str, value: object, expected: str) -> ConfigurationError:
    return ConfigurationError(f"{key} is {value!r}; it must be {expected}.")
