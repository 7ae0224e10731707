"""The option `code_location_limits` as values that the rest of the package works with. Pure.

`parsing` makes them from the configuration.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from clt_queued_run_coordinator.limits.windows import Window

OPTION = "code_location_limits"


HALF_LIFE_SECONDS = 3600.0
"""The default of `sharing.half_life`: what was used an hour ago counts half."""


class Sharing(str, Enum):
    """Who gets a free slot of `max_concurrent_runs`."""

    FIFO = "fifo"
    FAIR = "fair"


class QueueReading(str, Enum):
    """Which queued runs the daemon reads at a tick."""

    NARROWED = "narrowed"
    WHOLE = "whole"


@dataclass(frozen=True)
class PerJob:
    """The most runs in progress at once of each job of a code location; None for no limit.

    Attributes:
        default: Of each job that isn't named.
        jobs: Of those that are.
    """

    default: int | None = None
    jobs: Mapping[str, int] = field(default_factory=dict)

    def of(self, job: str) -> int | None:
        """The limit of a job."""
        return self.jobs.get(job, self.default)


@dataclass(frozen=True)
class Breaker:
    """When failed runs pause their code location.

    Attributes:
        failures: How many failed runs it takes.
        within: The seconds in which they end; None where it counts them in a row.
        pause_for: The seconds that the pause lasts; None until it is resumed.
        manual_launches: Whether runs that somebody launched by hand start nevertheless.
    """

    failures: int
    within: float | None = None
    pause_for: float | None = None
    manual_launches: bool = False


@dataclass(frozen=True)
class CodeLocationEntry:
    """What the configuration says of one code location.

    Attributes:
        limit: The most runs in progress at once; None for no limit.
        weight: How large its share is beside the others'.
        min: The slots that are kept for it while it has runs queued.
        windows: Times with another limit.
        max_per_job: The most runs in progress at once of each of its jobs.
        max_per_backfill: The most runs in progress at once of each of its backfills; None for no limit.
        backfill_share: The part of its starts, above 0 and below 1, that goes to runs of backfills while other
            runs wait too; None where Dagster's order decides.
        max_queued: The most queued runs; None for no limit.
        breaker: Its circuit breaker, if it has one.
    """

    limit: int | None = None
    weight: float = 1.0
    min: int = 0
    windows: tuple[Window, ...] = ()
    max_per_job: PerJob = PerJob()
    max_per_backfill: int | None = None
    backfill_share: float | None = None
    max_queued: int | None = None
    breaker: Breaker | None = None

    @property
    def has_job_or_backfill_limits(self) -> bool:
        """Whether its jobs or backfills are limited."""
        return self.max_per_job != PerJob() or self.max_per_backfill is not None


@dataclass(frozen=True)
class Group:
    """Code locations that share a limit, a weight or a minimum.

    Attributes:
        locations: Their names.
        limit: The most runs of all of them in progress at once; None for no limit.
        weight: How large the group's share is beside those of other groups and of code locations in none.
        min: The slots that are kept for the group while it has runs queued.
    """

    locations: tuple[str, ...]
    limit: int | None = None
    weight: float = 1.0
    min: int = 0


@dataclass(frozen=True)
class CodeLocationLimits:
    """The configured limits.

    Attributes:
        default: What holds for each code location without an entry.
        entries: The code locations that are named, with what holds for each.
        groups: The groups by name; no code location is in two.
        sharing: Who gets a free slot.
        half_life: Seconds in which what a code location has used counts half; only for fair sharing.
        queue_reading: Which queued runs the daemon reads at a tick.
    """

    default: CodeLocationEntry = CodeLocationEntry()
    entries: Mapping[str, CodeLocationEntry] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    sharing: Sharing = Sharing.FIFO
    half_life: float = HALF_LIFE_SECONDS
    queue_reading: QueueReading = QueueReading.NARROWED

    def entry(self, code_location: str) -> CodeLocationEntry:
        """What holds for a code location, named or not."""
        return self.entries.get(code_location, self.default)

    @cached_property
    def has_job_or_backfill_limits(self) -> bool:
        """Whether the jobs or backfills of any code location are limited."""
        return any(entry.has_job_or_backfill_limits for entry in (self.default, *self.entries.values()))

    @cached_property
    def has_backfill_shares(self) -> bool:
        """Whether backfills have a share of the starts of any code location."""
        return any(entry.backfill_share is not None for entry in (self.default, *self.entries.values()))

    @cached_property
    def group_of(self) -> Mapping[str, str]:
        """The name of the group of each code location that is in one."""
        return {location: name for name, group in self.groups.items() for location in group.locations}

    def group(self, code_location: str) -> Group | None:
        """The group of a code location, if it is in one."""
        name = self.group_of.get(code_location)
        return None if name is None else self.groups[name]

    @property
    def named_locations(self) -> set[str]:
        """The code locations that have an entry or are in a group."""
        return {*self.entries, *self.group_of}

    @property
    def has_breakers(self) -> bool:
        """Whether any code location has a circuit breaker."""
        return any(entry.breaker for entry in (self.default, *self.entries.values()))

    @property
    def lets_manual_launches_pass(self) -> bool:
        """Whether an open circuit breaker of any code location lets manual launches pass."""
        entries = (self.default, *self.entries.values())
        return any(entry.breaker and entry.breaker.manual_launches for entry in entries)

    @property
    def has_queue_limits(self) -> bool:
        """Whether `max_queued` holds for any code location."""
        return any(entry.max_queued is not None for entry in (self.default, *self.entries.values()))


class ConfigurationError(Exception):
    """The configuration can't be applied; the message names the key, the value and the cure."""
