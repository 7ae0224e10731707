"""Claims: how many slots code locations and their groups hold, and how many more they could use. Pure."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from clt_queued_run_coordinator.config.options import Group


@dataclass(frozen=True)
class Claim:
    """The claim of one code location or one group.

    Attributes:
        startable: Its queued runs that could start now, as far as is known, if there were room and slots.
        in_progress: Its runs in progress. They are never stopped, so their slots are its own in any case.
        limit: The most runs in progress; None for no limit.
    """

    startable: int
    in_progress: int = 0
    limit: int | None = None
    weight: float = 1.0
    min: int = 0

    @property
    def most(self) -> int:
        """The most runs it could have in progress now."""
        most = self.in_progress + self.startable
        return most if self.limit is None else max(self.in_progress, min(self.limit, most))

    @property
    def room(self) -> int | None:
        """How many more of its runs may be in progress; None for no limit."""
        return None if self.limit is None else max(0, self.limit - self.in_progress)


@dataclass(frozen=True)
class Claims:
    """The claims of the code locations that have runs in progress or queued, and of the configured groups."""

    code_locations: Mapping[str, Claim] = field(default_factory=dict)
    configured: Mapping[str, Group] = field(default_factory=dict)

    @cached_property
    def groups(self) -> dict[str, Claim]:
        """The claims of groups by their `group_key`. Runs are sums over their code locations."""
        claims = {}
        for name, group in self.configured.items():
            members = [self.code_locations[member] for member in group.locations if member in self.code_locations]
            startable, in_progress = sum(it.startable for it in members), sum(it.in_progress for it in members)
            claims[group_key(name)] = Claim(startable, in_progress, group.limit, group.weight, group.min)
        return claims

    @cached_property
    def group_of(self) -> dict[str, str]:
        """The `group_key` for each code location in a group."""
        return {member: group_key(name) for name, group in self.configured.items() for member in group.locations}

    @cached_property
    def everybody(self) -> dict[str, Claim]:
        """The claims of code locations and groups."""
        return {**self.code_locations, **self.groups}

    def room(self, code_location: str) -> int | None:
        """How many more runs of a code location may start by its limit and its group's; None for no limit."""
        group = self.group_of.get(code_location)
        return least(self.code_locations[code_location].room, self.groups[group].room if group else None)

    @property
    def in_progress(self) -> int:
        """The runs in progress of all code locations."""
        return sum(claim.in_progress for claim in self.code_locations.values())

    @property
    def held(self) -> dict[str, int]:
        """The runs in progress of each code location and group."""
        return {name: claim.in_progress for name, claim in self.everybody.items()}

    def after(self, starts: Mapping[str, int], blocked: Container[str] = ()) -> "Claims":
        """The claims after some starts, of which a negative number takes starts back.

        No further run could start of the code locations that are blocked.
        """
        claims = dict(self.code_locations)
        for name, claim in self.code_locations.items():
            started = starts.get(name, 0)
            startable = 0 if name in blocked else max(0, claim.startable - started)
            if started or startable != claim.startable:
                claims[name] = replace(claim, startable=startable, in_progress=claim.in_progress + started)
        return replace(self, code_locations=claims)


def group_key(group: str) -> str:
    """The key of a group among the names of code locations; no code location can have it."""
    return f"\0{group}"


def least(*numbers: int | None) -> int | None:
    """The smallest of the numbers; None stands for no bound."""
    return min((number for number in numbers if number is not None), default=None)
