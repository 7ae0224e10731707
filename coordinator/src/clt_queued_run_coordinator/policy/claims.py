"""Claims: how many slots code locations and their groups hold, and how many more they could use. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from clt_queued_run_coordinator.config.options import Group
from clt_queued_run_coordinator.policy.usage import START_SECONDS, Usage

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Claim:
    """The claim of one code location or one group.

    Attributes:
        queued: Its queued runs.
        in_progress: Its runs in progress. They are never stopped, so their slots are its own in any case.
        limit: The most runs in progress; None for no limit.
        weight: The size of its share relative to the others'; above 0.
        used: The slot-seconds it has used recently; see `usage`. This breaks ties, so that nobody starves when
            there are fewer slots than code locations.
        min: The slots reserved for it while it has runs queued.
    """

    queued: int
    in_progress: int = 0
    limit: int | None = None
    weight: float = 1.0
    used: float = 0.0
    min: int = 0

    @property
    def max_in_progress(self) -> int:
        """The most runs it could have in progress if its queue were started as far as its limit allows."""
        demand = self.in_progress + self.queued
        return max(self.in_progress, demand if self.limit is None else min(self.limit, demand))

    @property
    def room(self) -> int | None:
        """How many more of its runs may be in progress; None for no limit."""
        return None if self.limit is None else max(0, self.limit - self.in_progress)

    def after(self, starts: int) -> "Claim":
        """The claim after a number of starts."""
        return replace(
            self,
            queued=self.queued - starts,
            in_progress=self.in_progress + starts,
            used=self.used + starts * START_SECONDS,
        )


@dataclass(frozen=True)
class Claims:
    """The claims of all code locations and groups.

    Attributes:
        code_locations: The claims by code location. Members of a group are included even with nothing queued.
        groups: The claims by group. Queued runs, runs in progress and use are sums over the group's code
            locations.
        group_of: The group of each code location that is in one.
    """

    code_locations: Mapping[str, Claim]
    groups: Mapping[str, Claim] = field(default_factory=dict)
    group_of: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        code_locations: Mapping[str, Claim],
        groups: Mapping[str, Group] | None = None,
        usage: Usage | None = None,
    ) -> "Claims":
        """The claims of code locations and of their groups.

        Args:
            code_locations: The claims by code location.
            groups: The configured groups, by name.
            usage: The recent use of each group.
        """
        usage = usage or Usage()
        return cls(
            code_locations,
            {
                name: Claim(
                    queued=sum(
                        code_locations[of_it].queued for of_it in group.locations if of_it in code_locations
                    ),
                    in_progress=sum(
                        code_locations[of_it].in_progress for of_it in group.locations if of_it in code_locations
                    ),
                    limit=group.limit,
                    weight=group.weight,
                    used=usage.of(group_key(name)),
                    min=group.min,
                )
                for name, group in (groups or {}).items()
            },
            {of_it: name for name, group in (groups or {}).items() for of_it in group.locations},
        )

    def group(self, code_location: str) -> Claim | None:
        """The claim of a code location's group, if it is in one."""
        name = self.group_of.get(code_location)
        return None if name is None else self.groups[name]

    def room(self, code_location: str) -> int | None:
        """How many more runs of a code location may start by its limit and its group's; None for no limit."""
        group = self.group(code_location)
        return least(self.code_locations[code_location].room, group.room if group else None)

    @cached_property
    def have_minimums(self) -> bool:
        """Whether any code location or group has a minimum."""
        return any(claim.min for claims in (self.code_locations, self.groups) for claim in claims.values())

    @property
    def in_progress(self) -> int:
        """The runs in progress of all code locations."""
        return sum(claim.in_progress for claim in self.code_locations.values())

    def after(self, starts: Mapping[str, int]) -> "Claims":
        """The claims after some starts.

        Args:
            starts: The number of starts, by code location.
        """
        of_groups: dict[str, int] = {}
        for name, number in starts.items():
            if name in self.group_of:
                of_groups[self.group_of[name]] = of_groups.get(self.group_of[name], 0) + number
        return replace(
            self,
            code_locations={name: claim.after(starts.get(name, 0)) for name, claim in self.code_locations.items()},
            groups={name: claim.after(of_groups.get(name, 0)) for name, claim in self.groups.items()},
        )

    def from_scratch(self) -> "Claims":
        """The claims as if all runs in progress were still queued."""

        def of(claims: Mapping[str, Claim]) -> dict[str, Claim]:
            return {
                name: replace(claim, queued=claim.queued + claim.in_progress, in_progress=0)
                for name, claim in claims.items()
            }

        return replace(self, code_locations=of(self.code_locations), groups=of(self.groups))


def group_key(group: str) -> str:
    """The key of a group among the names of code locations; no code location can have it."""
    return f"\0{group}"


def with_groups(numbers: Mapping[str, Number], groups: Mapping[str, Group]) -> dict[str, Number]:
    """The numbers by code location, with the sum of each group added under its `group_key`."""
    summed = dict(numbers)
    for name, group in groups.items():
        of_it = [numbers[location] for location in group.locations if location in numbers]
        if of_it:
            summed[group_key(name)] = sum(of_it[1:], of_it[0])
    return summed


def least(*numbers: int | None) -> int | None:
    """The smallest of the numbers; None stands for no bound."""
    return min((number for number in numbers if number is not None), default=None)


def levels(weights: Mapping[str, float], groups: Mapping[str, Group]) -> list[dict[str, float]]:
    """Who competes with whom for slots.

    Groups and code locations without a group compete with each other. Within a group, its code locations do.

    Args:
        weights: The weight of each code location that competes.
        groups: The groups.

    Returns:
        For each of these competitions, the weights of those that take part; groups by their `group_key`.
    """
    grouped = {location for group in groups.values() for location in group.locations}
    within = {
        name: {location: weights[location] for location in group.locations if location in weights}
        for name, group in groups.items()
    }
    top = {name: weight for name, weight in weights.items() if name not in grouped}
    top |= {group_key(name): groups[name].weight for name, of_it in within.items() if of_it}
    return [top, *(of_it for of_it in within.values() if of_it)]
