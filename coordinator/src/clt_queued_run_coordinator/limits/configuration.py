"""The option `code_location_limits`: its schema, and the value that the rest of the package works with."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from dagster import Enum as ConfigEnum
from dagster import EnumValue as ConfigEnumValue
from dagster import Field, Map, Noneable, ScalarUnion, Shape

OPTION = "code_location_limits"


HALF_LIFE_SECONDS = 3600.0
"""The default of `sharing.half_life`: what was used an hour ago counts half."""


MOST = sys.float_info.max
"""Whole numbers above it can't be reckoned with."""


class Sharing(str, Enum):
    """Who gets a free slot of `max_concurrent_runs`."""

    FIFO = "fifo"
    FAIR = "fair"


class QueueReading(str, Enum):
    """Which queued runs the daemon reads at a tick."""

    NARROWED = "narrowed"
    WHOLE = "whole"


@dataclass(frozen=True)
class Entry:
    """What the configuration says of one code location."""

    limit: int | None
    weight: float = 1.0


@dataclass(frozen=True)
class CodeLocationLimits:
    """The configured limits.

    Attributes:
        default: The limit, in runs in progress, of each code location without an entry; None for no limit.
        entries: The code locations that are named, with what is said of them.
        sharing: Who gets a free slot.
        half_life: Seconds in which what a code location has used counts half; only for fair sharing.
        queue_reading: Which queued runs the daemon reads at a tick.
    """

    default: int | None = None
    entries: Mapping[str, Entry] = field(default_factory=dict)
    sharing: Sharing = Sharing.FIFO
    half_life: float = HALF_LIFE_SECONDS
    queue_reading: QueueReading = QueueReading.NARROWED

    def entry(self, code_location: str) -> Entry:
        """What holds for a code location, named or not."""
        return self.entries.get(code_location, Entry(self.default))


class ConfigurationError(Exception):
    """The configuration can't be applied; the message names the key, the value and the cure."""


def schema() -> Field:
    """The option as Dagster's configuration system checks it when the coordinator is loaded."""
    return Field(
        Noneable(
            Shape(
                {
                    "default": Field(
                        Noneable(int),
                        is_required=False,
                        description=(
                            "The most runs in progress at once of each code location that has no entry under"
                            " `locations`, also of one that nobody knew when the daemon started. Left out: no"
                            " limit. 0 holds them."
                        ),
                    ),
                    "locations": Field(
                        Map(
                            str,
                            ScalarUnion(
                                scalar_type=int,
                                non_scalar_schema=Shape(
                                    {
                                        "limit": Field(
                                            Noneable(int),
                                            is_required=False,
                                            description="The most runs in progress at once; 0 holds the"
                                            " code location. Left out: the default.",
                                        ),
                                        "weight": Field(
                                            float,
                                            is_required=False,
                                            description="How large this code location's share is beside the"
                                            " others', 1 if left out; only for `sharing: fair`.",
                                        ),
                                    }
                                ),
                            ),
                            key_label_name="code_location",
                        ),
                        is_required=False,
                        description=(
                            "The exceptions from the default, upwards and downwards: a number, or a limit and"
                            " a weight."
                        ),
                    ),
                    "sharing": Field(
                        ScalarUnion(
                            scalar_type=str,
                            non_scalar_schema=Shape(
                                {
                                    "kind": Field(str, description="`fifo` or `fair`."),
                                    "half_life": Field(
                                        float,
                                        is_required=False,
                                        description="Seconds in which what a code location has used counts"
                                        f" half; {HALF_LIFE_SECONDS:g} if left out; only for `fair`.",
                                    ),
                                }
                            ),
                        ),
                        is_required=False,
                        description=(
                            "`fifo`, the default: Dagster's own order, priority and then age. `fair`: free"
                            " slots of max_concurrent_runs go first to the code location that is furthest"
                            " below its share, and among equals to the one that has used the least lately."
                        ),
                    ),
                    "queue_reading": Field(
                        ConfigEnum("QueueReading", [ConfigEnumValue(choice.value) for choice in QueueReading]),
                        is_required=False,
                        description=(
                            "`narrowed`, the default: the daemon reads the queued runs that may start now."
                            " `whole`: it reads the whole queue, as without this package, and the limits are"
                            " handed to it as tag limits."
                        ),
                    ),
                }
            )
        ),
        is_required=False,
        description="Limits on the runs in progress of each code location.",
    )


def parse(option: Mapping[str, Any] | None) -> CodeLocationLimits | None:
    """Turn the option's value, as the schema let it pass, into the package's own.

    Raises:
        ConfigurationError: A limit is negative, a weight isn't above 0, or (where no schema stood before) a
            key is unknown or a value has the wrong type.
    """
    if option is None:
        return None
    _refuse_unknown(option, {"default", "locations", "sharing", "queue_reading"}, OPTION)
    default = option.get("default")
    entries = option.get("locations") or {}
    if not isinstance(entries, Mapping):
        raise _wrong(f"{OPTION}.locations", entries, "a mapping of code locations to limits")
    sharing, half_life = _sharing(f"{OPTION}.sharing", option.get("sharing"))
    reading = option.get("queue_reading") or QueueReading.NARROWED
    checked_default = _limit(f"{OPTION}.default", default)
    return CodeLocationLimits(
        default=checked_default,
        entries={
            name: _entry(f"{OPTION}.locations.{name}", value, checked_default) for name, value in entries.items()
        },
        sharing=sharing,
        half_life=half_life,
        queue_reading=_choice(f"{OPTION}.queue_reading", reading, QueueReading),
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


def _entry(key: str, value: object, default: int | None) -> Entry:
    if not isinstance(value, Mapping):
        if value is None:
            raise _wrong(key, value, "a whole number of runs, 0 or more, or {limit, weight}")
        return Entry(_limit(key, value))
    _refuse_unknown(value, {"limit", "weight"}, key)
    limit = value.get("limit")
    return Entry(
        limit=default if limit is None else _limit(f"{key}.limit", limit),
        weight=_above_zero(f"{key}.weight", value.get("weight", 1.0)),
    )


def _limit(key: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong(key, value, "a whole number of runs, 0 or more")
    return value


def _above_zero(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < MOST:
        raise _wrong(key, value, "a number above 0")
    return float(value)


def _refuse_unknown(value: Mapping[str, Any], known: set[str], key: str) -> None:
    for name in value:
        if name not in known:
            raise ConfigurationError(f"{key}.{name} is not an option; known are {', '.join(sorted(known))}.")


def _wrong(key: str, value: object, expected: str) -> ConfigurationError:
    return ConfigurationError(f"{key} is {value!r}; it must be {expected}.")
