"""The queue at one moment: what is queued and in progress, and what limits it. Immutable; all else is derived.

The daemon makes one at each tick. Whoever answers people about the queue makes the same one. So both derive the
limits in force, the free slots and the claims in the same way.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterRun, RunRecord
from clt_queued_run_coordinator.config.options import Group
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY, code_location_of
from clt_queued_run_coordinator.policy.changes import LiveChanges
from clt_queued_run_coordinator.policy.claims import Claim, Claims, least
from clt_queued_run_coordinator.policy.credit import Credit, shares
from clt_queued_run_coordinator.policy.in_force import LimitInForce, resolve
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.policy.room import holding_back
from clt_queued_run_coordinator.policy.size import slots_of
from clt_queued_run_coordinator.policy.tag_limits import as_tag_limits, code_locations_named_in

_NOBODY = "\0"
"""A name that no code location has. So the limit in force for it is the one of each that isn't known yet."""


@dataclass(frozen=True)
class QueueState:
    """The queue at one moment.

    Attributes:
        queued: The number of queued runs of each code location that has any; `NO_CODE_LOCATION` can be among them.
        in_progress: The runs in progress, whatever put them there.
        queued_slots: The slots that the queued runs of each code location take together; None if each takes one.
        passed: When each queued run was first passed because of its size, by the storage's id, in seconds since
            1970.
    """

    settings: Settings
    live: LiveChanges = field(default_factory=LiveChanges)
    queued: Mapping[str, int] = field(default_factory=dict)
    in_progress: Sequence[RunRecord] = ()
    credit: Credit = field(default_factory=Credit)
    queued_slots: Mapping[str, int] | None = None
    passed: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """List the code locations that have runs in the groups that they are in by a pattern."""
        configured = self.settings.code_location_limits
        if configured.groups_have_patterns:
            limits = configured.with_members((*self.queued, *self.in_progress_of))
            object.__setattr__(self, "settings", replace(self.settings, code_location_limits=limits))

    @cached_property
    def limits(self) -> dict[str, LimitInForce]:
        """The limit in force of each code location that is configured, was changed live, or has runs."""
        names = {
            *self.settings.code_location_limits.named_locations,
            *self.live.code_locations,
            *code_locations_named_in(self.settings.tag_concurrency_limits),
            *self.queued,
            *self.in_progress_of,
        }
        return {name: resolve(name, self.settings, self.live) for name in names - {NO_CODE_LOCATION}}

    def in_force(self, code_location: str) -> LimitInForce:
        """The limit in force of a code location, whether it is in `limits` or not."""
        return self.limits.get(code_location) or resolve(code_location, self.settings, self.live)

    def limit(self, code_location: str) -> int | None:
        """The most runs in progress of a code location, without its group's limit; None for no limit."""
        return None if code_location == NO_CODE_LOCATION else self.in_force(code_location).limit

    @property
    def is_fair(self) -> bool:
        """Whether there are slots to share fairly: those of `max_concurrent_runs`, or those of a group's limit."""
        groups = self.settings.code_location_limits.groups.values()
        return self.settings.is_fair and (
            self.settings.max_concurrent_runs != -1 or any(group.limit is not None for group in groups)
        )

    @cached_property
    def in_progress_of(self) -> Counter[str]:
        """The slots that runs in progress hold, by the code location of their origin, whatever their tags say."""
        held: Counter[str] = Counter()
        for name, run in self.runs_in_progress():
            held[name] += slots_of(self.settings.code_location_limits, name, run.tags)
        return held

    @cached_property
    def number_in_progress_of(self) -> Counter[str]:
        """The number of runs in progress by code location."""
        return Counter(name for name, _ in self.runs_in_progress())

    def runs_in_progress(self) -> Iterator[tuple[str, DagsterRun]]:
        """Each run in progress with its code location."""
        for record in self.in_progress:
            yield code_location_of(record.dagster_run) or NO_CODE_LOCATION, record.dagster_run

    def in_progress_of_group(self, group: Group) -> int:
        """The slots that the runs in progress of a group hold."""
        return sum(self.in_progress_of[code_location] for code_location in group.locations)

    @property
    def slots(self) -> float:
        """All slots, including those in use; infinite for no limit."""
        total = self.settings.max_concurrent_runs
        return math.inf if total == -1 else total

    @property
    def free_slots(self) -> int | None:
        """The free slots; None for no limit."""
        total = self.settings.max_concurrent_runs
        return None if total == -1 else max(0, total - self.in_progress_of.total())

    @property
    def holding_back(self) -> list[int]:
        """The queued runs that may hold back others because they were passed for long; see `room`."""
        limits = self.settings.code_location_limits
        if limits.slot is None:
            return []
        return holding_back(self.passed, self.live.read_at.timestamp(), limits.hold_back_after)

    @cached_property
    def claims(self) -> Claims:
        """The claim of each code location that has runs, or is in a group, and of each group."""
        limits = self.settings.code_location_limits
        queued = self.queued if self.queued_slots is None else self.queued_slots
        of_each = {
            name: Claim(
                startable=queued.get(name, 0),
                in_progress=self.in_progress_of[name],
                limit=self.limit(name),
                weight=limits.entry(name).weight,
                min=limits.entry(name).min,
            )
            for name in {**self.queued, **self.in_progress_of, **limits.group_of}
        }
        return Claims(of_each, limits.groups)

    @cached_property
    def shares(self) -> dict[str, float]:
        """The share of the slots of each code location, and of each group by its `group_key`.

        Code locations of which nothing could start when the daemon last looked have only what they hold.
        """
        return shares(self.claims.after({}, self.credit.blocked), self.slots)

    def tag_limits(self, starts: Mapping[str, int] | None = None, *, applied: bool = True) -> list[dict[str, Any]]:
        """The limits in force as tag limits, for Dagster's daemon to apply or for its UI to show.

        If it is known how many runs of each code location start in this tick, nothing else may.
        """
        configured = self.settings.code_location_limits
        limits: dict[str, int | None] = {}
        for name, in_force in self.limits.items():
            group = configured.group(name)
            limits[name] = least(in_force.limit, group.limit if group else None)
        if starts is not None:
            # Dagster counts the runs in progress that carry a tag, whatever their origin.
            tagged = Counter(record.dagster_run.tags.get(CLT_TAG_KEY) for record in self.in_progress)
            names = {*self.limits, *starts} - {NO_CODE_LOCATION}
            limits = {
                name: max(0, tagged[name] + starts.get(name, 0) - self._above_its_limit(name)) for name in names
            }
        default = self.in_force(_NOBODY).limit
        return as_tag_limits(limits, default, self.settings.tag_concurrency_limits, applied=applied)

    def _above_its_limit(self, code_location: str) -> int:
        """How far a code location or its group is above its limit: no run may replace so many that end."""
        group = self.settings.code_location_limits.group(code_location)
        pairs = [(self.limit(code_location), self.in_progress_of[code_location])]
        if group:
            pairs.append((group.limit, self.in_progress_of_group(group)))
        return max([0, *(in_progress - limit for limit, in_progress in pairs if limit is not None)])

    def saturated(self) -> Iterator[str]:
        """For the log: each code location with queued runs, with its runs in progress and its limit.

        The groups that have a limit follow in the same form.
        """
        for name in sorted(self.queued):
            limit = self.limit(name)
            of_limit = "no limit" if limit is None else limit
            yield f"{name or 'without a code location'} {self.in_progress_of[name]}/{of_limit}"
        for name, group in sorted(self.settings.code_location_limits.groups.items()):
            if group.limit is not None and any(location in self.queued for location in group.locations):
                yield f"group {name} {self.in_progress_of_group(group)}/{group.limit}"
