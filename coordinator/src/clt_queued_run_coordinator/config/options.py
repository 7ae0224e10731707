"""The option `code_location_limits`: each key with what it takes, what it does, and where its value goes. Pure.

Dagster's schema, the messages for what is refused, and the values that the rest of the package works with follow
from these classes. A limit that is None limits nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Annotated, Any
from urllib.parse import urlsplit

from clt_queued_run_coordinator.config.kinds import Duration, Name, Runs, checked, mapping, option, whole_number
from clt_queued_run_coordinator.config.patterns import Names, is_pattern
from clt_queued_run_coordinator.config.quantity import PositiveQuantity, Quantity
from clt_queued_run_coordinator.config.windows import Window

OPTION = "code_location_limits"

FAIR = "fair"
"""The kind of sharing that isn't Dagster's own order."""

_ONE_OR_MORE = whole_number(1)
_TRUE_OR_FALSE = checked(bool, "true or false")
_WEIGHT = checked(float, "a number above 0, from 0.000001 to 1000000", lambda value: 1e-6 <= value <= 1e6)  # noqa: PLR2004
_PART = checked(float, "a number above 0 and below 1", lambda value: 0 < value < 1)
_HALF_LIFE = checked(
    float,
    "a number of seconds from 1 to 1000000000; for no fair sharing write `sharing: fifo`",
    lambda value: 1 <= value <= 1e9,  # noqa: PLR2004
)
_CONNECTIONS = checked(int, "a number of connections from 0 to 100", lambda value: 0 <= value <= 100)  # noqa: PLR2004
_NARROWED = "left out, because the daemon always reads only the queued runs that may start; remove the key"

_ADDRESS = "an address that begins with http:// or https://"


def is_address(value: str) -> bool:
    """Whether a value is the address of a page: printable, and with a host."""
    return value.startswith(("http://", "https://")) and bool(urlsplit(value).netloc) and value.isprintable()


_LIMIT = "The most runs in progress at once; 0 starts none. Left out: the default's, or no limit."
_SHARE = "The size of the share relative to the others', 1 if left out; only for `sharing: fair`."
_MINIMUM = (
    "The slots of max_concurrent_runs reserved for it while it has queued runs that can start. At other times"
    " anybody may use them, and no run in progress is ever stopped. 0 if left out."
)
_OPERATORS = "The groups of people who may change it on the page of `dagster-clt page --allow-changes`."


@dataclass(frozen=True)
class PerJob:
    """The limits on the runs in progress of each job of a code location."""

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
    """The configuration of one code location."""

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
    run_needs: Mapping[Annotated[Name, "resource"], Quantity] | None = option(
        "The resources that a run asks for where its own tags don't say: those of the user deployment. Only with"
        " `slot`.",
        None,
    )
    breaker: Breaker | None = option(
        "A circuit breaker that pauses the code location after a number of failed runs.", None
    )
    operators: tuple[Name, ...] = option(_OPERATORS, ())


@dataclass(frozen=True)
class Group:
    """Code locations that share a limit, a weight or a minimum. No code location is in more than one group."""

    locations: tuple[Name, ...] = option("The names of its code locations; `*` stands for any characters.")
    limit: Runs | None = option(_LIMIT, None)
    weight: Annotated[float, _WEIGHT] = option(_SHARE, 1.0)
    min: Runs = option(_MINIMUM, 0)
    operators: tuple[Name, ...] = option(_OPERATORS, ())


@dataclass(frozen=True)
class Sharing:
    """Who gets a free slot of `max_concurrent_runs`, and the seconds after which credit counts half."""

    kind: Annotated[str, checked(str, "fifo or fair", lambda value: value in {"fifo", FAIR})] = option(
        "`fifo` or `fair`.", is_short=True
    )
    half_life: Annotated[float, _HALF_LIFE] = option(
        "The seconds after which a code location's credit counts half; 3600 if left out; only for `fair`.", 3600.0
    )


@dataclass(frozen=True)
class CodeLocationLimits:
    """The configured limits.

    An entry is parsed to the keys that it has itself, as a dict; `parsing` adds what it inherits.
    """

    default: Annotated[CodeLocationEntry, mapping(CodeLocationEntry, made=dict, without="min")] = option(
        "A limit, or an entry's keys, for each code location whose entry under `locations` says nothing else. Code"
        " locations that are added later are included.",
        CodeLocationEntry(),
    )
    entries: Mapping[
        Annotated[Name, "code_location"], Annotated[CodeLocationEntry, mapping(CodeLocationEntry, made=dict)]
    ] = option(
        "Exceptions from the default, higher or lower: a limit, or several keys. In a name `*` stands for any"
        " characters; a code location takes the entry of its own name first, then of the longest that matches.",
        {},
        key="locations",
    )
    groups: Mapping[Annotated[Name, "group"], Group] = option(
        "Code locations that share a limit, a weight or a minimum, such as one team's. Slots are shared between"
        " groups first, then within each.",
        {},
    )
    sharing: Sharing = option(
        "`fifo`, the default: Dagster's own order, by priority and then age. `fair`: a free slot of"
        " max_concurrent_runs goes to the code location that is furthest below its share.",
        Sharing("fifo"),
    )
    slot: Mapping[Annotated[Name, "resource"], PositiveQuantity] | None = option(
        "What one slot holds, such as `{cpu: 1, memory: 4Gi}`. A run then takes as many slots as it asks for, and"
        " limits, shares and minimums count slots. Left out: each run takes one.",
        None,
    )
    hold_back_after: Duration = option(
        "How long a run that is too large for the free slots is passed by smaller ones, before free slots are kept"
        " for it; only with `slot`. 5m if left out.",
        300,
    )
    page_url: Annotated[str, checked(str, _ADDRESS, is_address)] | None = option(
        "The address of the page of the queue. Each run gets a tag `queue_page` with its own page's address.",
        None,
    )
    waits_for_tag: Annotated[bool, _TRUE_OR_FALSE] = option(
        "Whether queued runs that have waited for a minute get a tag `waits_for` that says what holds them.", True
    )
    daemon_connections: Annotated[int, _CONNECTIONS] = option(
        "The most connections to PostgreSQL that the daemon keeps open. It opens more when it needs them, and"
        " closes these again. 0: it keeps none, as Dagster does.",
        10,
    )
    standby: Annotated[bool, _TRUE_OR_FALSE] = option(
        "Whether a daemon waits while another one dequeues, before it starts schedules, sensors and the run queue."
        " For two daemons, of which one stands by. false: it starts at once, and only its run queue waits.",
        False,
    )
    queue_reading: Annotated[str, checked(str, _NARROWED, lambda value: value == "narrowed")] | None = option(
        "Ignored; remove it. The daemon always reads only the queued runs that may start.", None
    )

    @cached_property
    def known_sizes(self) -> dict[object, Any]:
        """The sizes of runs that `policy.size` has worked out with these limits."""
        return {}

    @cached_property
    def _names(self) -> Names:
        return Names(self.entries)

    @cached_property
    def _members(self) -> Names:
        return Names(self.group_of)

    def entry(self, code_location: str) -> CodeLocationEntry:
        """The entry of a code location: of its name, else of the closest pattern, else the default."""
        name = self._names.closest(code_location)
        return self.default if name is None else self.entries[name]

    @cached_property
    def used(self) -> set[str]:
        """The options that any code location's entry sets to something else than what they are if left out."""
        entries = (self.default, *self.entries.values())
        options = fields(CodeLocationEntry)
        return {of.name for of in options for each in entries if getattr(each, of.name) != of.default}

    @cached_property
    def group_of(self) -> Mapping[str, str]:
        """The group's name, for each code location and each pattern in a group."""
        return {location: name for name, group in self.groups.items() for location in group.locations}

    def group_name(self, code_location: str) -> str | None:
        """The name of the group of a code location, if it is in one: by its name, else by the closest pattern."""
        name = self._members.closest(code_location)
        return None if name is None else self.group_of[name]

    def group(self, code_location: str) -> Group | None:
        """The group of a code location, if it is in one."""
        name = self.group_name(code_location)
        return None if name is None else self.groups[name]

    @cached_property
    def groups_have_patterns(self) -> bool:
        """Whether a code location can be in a group without being named there."""
        return any(map(is_pattern, self.group_of))

    def with_members(self, code_locations: Iterable[str]) -> "CodeLocationLimits":
        """The same, with those code locations by name in their groups that are in them by a pattern."""
        found: dict[str, list[str]] = defaultdict(list)
        for code_location in sorted({*code_locations} - self.group_of.keys()):
            if name := self.group_name(code_location):
                found[name].append(code_location)
        groups = {
            name: replace(group, locations=(*group.locations, *found[name])) for name, group in self.groups.items()
        }
        return replace(self, groups=groups) if found else self

    def operators(self, code_location: str) -> frozenset[str]:
        """The groups of people who may change a code location: its own, and those of its group."""
        group = self.group(code_location)
        return frozenset((*self.entry(code_location).operators, *(group.operators if group else ())))

    @property
    def named_locations(self) -> set[str]:
        """The code locations that have an entry or are in a group by their name."""
        return {name for name in (*self.entries, *self.group_of) if not is_pattern(name)}
