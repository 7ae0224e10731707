"""The option `code_location_limits`: each key with what it takes, what it does, and where its value goes. Pure.

Dagster's schema, the messages for what is refused, and the values that the rest of the package works with follow
from these classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Annotated, Any

from clt_queued_run_coordinator.config.kinds import (
    Duration,
    Name,
    Runs,
    checked,
    mapping,
    number,
    option,
    whole_number,
)
from clt_queued_run_coordinator.config.windows import Window

OPTION = "code_location_limits"

HALF_LIFE_SECONDS = 3600.0
"""The default of `sharing.half_life`."""


class Sharing(str, Enum):
    """Who gets a free slot of `max_concurrent_runs`."""

    FIFO = "fifo"
    FAIR = "fair"


_ONE_OR_MORE = whole_number(1)
_TRUE_OR_FALSE = checked(bool, "true or false", lambda _: True)
_WEIGHT = number("a number above 0, from 0.000001 to 1000000", lambda value: 1e-6 <= value <= 1e6)  # noqa: PLR2004
_PART = number("a number above 0 and below 1", lambda value: 0 < value < 1)
_HALF_LIFE = number(
    "a number of seconds from 1 to 1000000000; for no fair sharing write `sharing: fifo`",
    lambda value: 1 <= value <= 1e9,  # noqa: PLR2004
)
_NARROWED = "left out, because the daemon always reads only the queued runs that may start; remove the key"

_LIMIT = "The most runs in progress at once; 0 starts none. Left out: the default's, or no limit."
_SHARE = "The size of the share relative to the others', 1 if left out; only for `sharing: fair`."
_MINIMUM = (
    "The slots of max_concurrent_runs reserved for it while it has queued runs that can start. At other times"
    " anybody may use them, and no run in progress is ever stopped. 0 if left out."
)


@dataclass(frozen=True)
class PerJob:
    """The limits on the runs in progress of each job of a code location; None for no limit."""

    default: Runs | None = option("The limit of each other job.", None, is_short=True)
    jobs: Mapping[Annotated[Name, "job"], Runs] = option("The limits of named jobs.", {})

    def of(self, job: str) -> int | None:
        """The limit of a job."""
        return self.jobs.get(job, self.default)


@dataclass(frozen=True)
class Breaker:
    """A circuit breaker: when failed runs pause their code location. Durations are in seconds."""

    failures: Annotated[int, _ONE_OR_MORE] = option("The number of failed runs that opens it.")
    within: Duration | None = option("The period in which they count, such as `10m`. Left out: in a row.", None)
    pause_for: Duration | None = option(
        "How long the code location is paused, such as `1h`. Left out: until it is resumed.", None
    )
    manual_launches: Annotated[bool, _TRUE_OR_FALSE] = option(
        "Whether manually launched runs may still start; false if left out.", False
    )


@dataclass(frozen=True)
class CodeLocationEntry:
    """The configuration of one code location. A limit that is None limits nothing."""

    limit: Runs | None = option(_LIMIT, None, is_short=True)
    weight: Annotated[float, _WEIGHT] = option(_SHARE, 1.0)
    min: Runs = option(_MINIMUM, 0)
    windows: tuple[Window, ...] = option("Times with a different limit.", ())
    max_per_job: PerJob = option(
        "The most runs in progress at once of each job: a number, or a default and exceptions.", PerJob()
    )
    max_per_backfill: Runs | None = option("The most runs in progress at once of each backfill.", None)
    backfill_share: Annotated[float, _PART] | None = option(
        "The fraction of starts that goes to runs of backfills while other runs wait too: 0.25 for every fourth."
        " Left out: Dagster's order decides.",
        None,
    )
    max_queued: Runs | None = option(
        "The most queued runs. A run submitted beyond that is refused and fails.", None
    )
    breaker: Breaker | None = option(
        "A circuit breaker that pauses the code location after a number of failed runs.", None
    )

    @property
    def has_job_or_backfill_limits(self) -> bool:
        """Whether its jobs or backfills are limited."""
        return self.max_per_job != PerJob() or self.max_per_backfill is not None


@dataclass(frozen=True)
class Group:
    """Code locations that share a limit, a weight or a minimum. A limit that is None limits nothing."""

    locations: tuple[Name, ...] = option("The names of its code locations.")
    limit: Runs | None = option(_LIMIT, None)
    weight: Annotated[float, _WEIGHT] = option(_SHARE, 1.0)
    min: Runs = option(_MINIMUM, 0)


@dataclass(frozen=True)
class SharingOption:
    """Who gets a free slot of `max_concurrent_runs`, and the seconds after which credit counts half."""

    kind: Annotated[str, checked(str, "fifo or fair", lambda value: value in [*Sharing])] = option(
        "`fifo` or `fair`.", is_short=True
    )
    half_life: Annotated[float, _HALF_LIFE] = option(
        f"The seconds after which a code location's credit counts half; {HALF_LIFE_SECONDS:g} if left out; only"
        " for `fair`.",
        HALF_LIFE_SECONDS,
    )


@dataclass(frozen=True)
class WrittenOption:
    """The option as it is written. Of an entry, only what it says itself is there; the rest is inherited."""

    default: Annotated[dict[str, Any], mapping(CodeLocationEntry, made=dict, without="min")] = option(
        "A limit, or an entry's keys, for each code location whose entry under `locations` says nothing else. Code"
        " locations that are added later are included.",
        {},
    )
    locations: Mapping[
        Annotated[Name, "code_location"], Annotated[dict[str, Any], mapping(CodeLocationEntry, made=dict)]
    ] = option("Exceptions from the default, higher or lower: a limit, or several keys.", {})
    groups: Mapping[Annotated[Name, "group"], Group] = option(
        "Code locations that share a limit, a weight or a minimum, such as one team's. Slots are shared between"
        " groups first, then within each.",
        {},
    )
    sharing: SharingOption = option(
        "`fifo`, the default: Dagster's own order, by priority and then age. `fair`: a free slot of"
        " max_concurrent_runs goes to the code location that is furthest below its share.",
        SharingOption("fifo"),
    )
    queue_reading: Annotated[str, checked(str, _NARROWED, lambda value: value == "narrowed")] | None = option(
        "Ignored; remove it. The daemon always reads only the queued runs that may start.", None
    )


@dataclass(frozen=True)
class CodeLocationLimits:
    """The configured limits.

    Attributes:
        default: The entry of each code location that isn't named.
        entries: The entries of named code locations.
        groups: The groups by name. No code location is in more than one.
        sharing: Who gets a free slot.
        half_life: The seconds after which credit counts half; only for fair sharing.
    """

    default: CodeLocationEntry = CodeLocationEntry()
    entries: Mapping[str, CodeLocationEntry] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    sharing: Sharing = Sharing.FIFO
    half_life: float = HALF_LIFE_SECONDS

    def entry(self, code_location: str) -> CodeLocationEntry:
        """The entry of a code location; the default if it isn't named."""
        return self.entries.get(code_location, self.default)

    @cached_property
    def _all(self) -> tuple[CodeLocationEntry, ...]:
        return (self.default, *self.entries.values())

    @cached_property
    def has_job_or_backfill_limits(self) -> bool:
        """Whether the jobs or backfills of any code location are limited."""
        return any(entry.has_job_or_backfill_limits for entry in self._all)

    @cached_property
    def has_backfill_shares(self) -> bool:
        """Whether any code location has a `backfill_share`."""
        return any(entry.backfill_share is not None for entry in self._all)

    @cached_property
    def has_breakers(self) -> bool:
        """Whether any code location has a circuit breaker."""
        return any(entry.breaker for entry in self._all)

    @cached_property
    def has_queue_limits(self) -> bool:
        """Whether any code location has a `max_queued`."""
        return any(entry.max_queued is not None for entry in self._all)

    @cached_property
    def group_of(self) -> Mapping[str, str]:
        """The group's name, for each code location in a group."""
        return {location: name for name, group in self.groups.items() for location in group.locations}

    def group(self, code_location: str) -> Group | None:
        """The group of a code location, if it is in one."""
        name = self.group_of.get(code_location)
        return None if name is None else self.groups[name]

    @property
    def named_locations(self) -> set[str]:
        """The code locations that have an entry or are in a group."""
        return {*self.entries, *self.group_of}
