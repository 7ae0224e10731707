"""The option `code_location_limits` as values that the rest of the package works with. Pure.

`parsing` makes them from the configuration.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from clt_queued_run_coordinator.config.windows import Window

OPTION = "code_location_limits"


HALF_LIFE_SECONDS = 3600.0
"""The default of `sharing.half_life`: use from an hour ago counts half."""


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
    """The limits on the runs in progress of each job of a code location; None for no limit.

    Attributes:
        default: The limit of each job that isn't named.
        jobs: The limits of named jobs.
    """

    default: int | None = None
    jobs: Mapping[str, int] = field(default_factory=dict)

    def of(self, job: str) -> int | None:
        """The limit of a job."""
        return self.jobs.get(job, self.default)


@dataclass(frozen=True)
class Breaker:
    """A circuit breaker: when failed runs pause their code location.

    Attributes:
        failures: The number of failed runs that open it.
        within: The period, in seconds, in which they have to end; None to count consecutive failures.
        pause_for: How long it stays open, in seconds; None to stay open until the code location is resumed.
        manual_launches: Whether manually launched runs may start while it is open.
    """

    failures: int
    within: float | None = None
    pause_for: float | None = None
    manual_launches: bool = False


@dataclass(frozen=True)
class CodeLocationEntry:
    """The configuration of one code location.

    Attributes:
        limit: The most runs in progress at once; None for no limit.
        weight: The size of its share relative to the others'.
        min: The slots reserved for it while it has runs queued.
        windows: The times with a different limit.
        max_per_job: The limits on its jobs.
        max_per_backfill: The most runs in progress at once of each of its backfills; None for no limit.
        backfill_share: The fraction of its starts, above 0 and below 1, that goes to runs of backfills while other
            runs wait too; None to let Dagster's order decide.
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
        limit: The most runs in progress at once of all of them together; None for no limit.
        weight: The size of the group's share relative to other groups and to code locations without a group.
        min: The slots reserved for the group while it has runs queued.
    """

    locations: tuple[str, ...]
    limit: int | None = None
    weight: float = 1.0
    min: int = 0


@dataclass(frozen=True)
class CodeLocationLimits:
    """The configured limits.

    Attributes:
        default: The entry of each code location that isn't named.
        entries: The entries of named code locations.
        groups: The groups by name. No code location is in more than one.
        sharing: Who gets a free slot.
        half_life: The seconds after which use counts half; only for fair sharing.
        queue_reading: Which queued runs the daemon reads at a tick.
    """

    default: CodeLocationEntry = CodeLocationEntry()
    entries: Mapping[str, CodeLocationEntry] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    sharing: Sharing = Sharing.FIFO
    half_life: float = HALF_LIFE_SECONDS
    queue_reading: QueueReading = QueueReading.NARROWED

    def entry(self, code_location: str) -> CodeLocationEntry:
        """The entry of a code location; the default if it isn't named."""
        return self.entries.get(code_location, self.default)

    @cached_property
    def has_job_or_backfill_limits(self) -> bool:
        """Whether the jobs or backfills of any code location are limited."""
        return any(entry.has_job_or_backfill_limits for entry in (self.default, *self.entries.values()))

    @cached_property
    def has_backfill_shares(self) -> bool:
        """Whether any code location has a `backfill_share`."""
        return any(entry.backfill_share is not None for entry in (self.default, *self.entries.values()))

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

    @property
    def has_breakers(self) -> bool:
        """Whether any code location has a circuit breaker."""
        return any(entry.breaker for entry in (self.default, *self.entries.values()))

    @property
    def lets_manual_launches_pass(self) -> bool:
        """Whether any circuit breaker lets manually launched runs start while it is open."""
        entries = (self.default, *self.entries.values())
        return any(entry.breaker and entry.breaker.manual_launches for entry in entries)

    @property
    def has_queue_limits(self) -> bool:
        """Whether any code location has a `max_queued`."""
        return any(entry.max_queued is not None for entry in (self.default, *self.entries.values()))
