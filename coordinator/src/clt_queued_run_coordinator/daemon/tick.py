"""One tick of the daemon: the limits in force, the runs in progress, and what follows from them. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from clt_queued_run_coordinator._dagster import RunRecord
from clt_queued_run_coordinator.config.options import Group
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY
from clt_queued_run_coordinator.policy.admission import admit
from clt_queued_run_coordinator.policy.changes import Change, LiveChanges
from clt_queued_run_coordinator.policy.claims import Claim, Claims, levels, with_groups
from clt_queued_run_coordinator.policy.in_force import (
    LimitInForce,
    Source,
    default_limit,
    effective_limits,
    limits_of,
)
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION, JobAndBackfill, QueuedRun
from clt_queued_run_coordinator.policy.sharing import allow
from clt_queued_run_coordinator.policy.tag_limits import as_tag_limits, code_locations_named_in
from clt_queued_run_coordinator.policy.usage import Usage
from clt_queued_run_coordinator.store.code_location import code_location_of


@dataclass
class Tick:
    """The facts of one tick.

    Attributes:
        settings: The settings in force.
        live: The live changes.
        queued: The number of queued runs of each code location.
        tag_limits: The tag limits that the daemon got. It looks at them only after it has read the queue, so
            whatever is known by then is written into this very list.
        in_progress: The runs in progress, which the daemon reads after the queue was read here.
        whole: Whether the daemon reads the whole queue.
        manual_queued: The number of manually launched queued runs, for the code locations in `manual_only`.
    """

    settings: Settings
    live: LiveChanges
    queued: Mapping[str, int]
    tag_limits: list[dict[str, Any]] = field(default_factory=list)
    in_progress: Sequence[RunRecord] | None = None
    whole: bool = False
    manual_queued: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tag_limits[:] = as_tag_limits(
            effective_limits(self.limits, self.settings),
            self.default_limit,
            self.settings.tag_concurrency_limits,
            applied=True,
        )

    @cached_property
    def limits(self) -> dict[str, LimitInForce]:
        """The limit in force of each code location that is configured, was changed live, or has runs queued."""
        names = {
            *self.settings.code_location_limits.named_locations,
            *self.live.code_locations,
            *code_locations_named_in(self.settings.tag_concurrency_limits),
            *self.queued,
        }
        return limits_of(names - {NO_CODE_LOCATION}, self.settings, self.live)

    def limit(self, code_location: str) -> int | None:
        """The limit in force of a code location.

        If its open circuit breaker lets manually launched runs start, it is the limit without the breaker.
        """
        if code_location == NO_CODE_LOCATION:
            return None
        if code_location in self.manual_only:
            return limits_of([code_location], self.settings, replace(self.live, breakers={}))[code_location].limit
        return self.limits[code_location].limit

    @property
    def manual_only(self) -> frozenset[str]:
        """The code locations of which only manually launched runs may start."""
        if self.whole:
            return frozenset()
        configured = self.settings.code_location_limits
        return frozenset(
            name
            for name in self.live.breakers
            if (breaker := configured.entry(name).breaker)
            and breaker.manual_launches
            and name in self.limits
            and self.limits[name].source is Source.BREAKER
        )

    @property
    def default_limit(self) -> int | None:
        """The limit of a code location that is neither configured nor known yet."""
        return default_limit(self.settings, self.live)

    @property
    def has_limits(self) -> bool:
        """Whether anything limits what may start, or could begin to during the tick."""
        return (
            self.settings.max_concurrent_runs != -1
            or self.default_limit is not None
            or any(in_force.limit is not None for in_force in self.limits.values())
            or self._has_limited_groups
            or self.settings.code_location_limits.has_breakers
            or self.settings.code_location_limits.has_job_or_backfill_limits
        )

    def hold(self, breakers: Mapping[str, Change]) -> None:
        """Hold the code locations whose circuit breakers opened in this tick."""
        self.live = replace(self.live, breakers={**self.live.breakers, **breakers})
        self.__dict__.pop("limits", None)  # computed without these breakers

    @property
    def is_fair(self) -> bool:
        """Whether there are slots to share fairly: those of `max_concurrent_runs`, or those of a group's limit."""
        return self.settings.is_fair and (self.settings.max_concurrent_runs != -1 or self._has_limited_groups)

    @cached_property
    def _has_limited_groups(self) -> bool:
        return any(group.limit is not None for group in self.settings.code_location_limits.groups.values())

    @cached_property
    def in_progress_of(self) -> Counter[str]:
        """The number of runs in progress by code location. Their origin decides, whatever their tags say."""
        return Counter(code_location_of(run.dagster_run) or NO_CODE_LOCATION for run in self.in_progress or ())

    def jobs_and_backfills_in_progress(self) -> Iterator[tuple[str, JobAndBackfill]]:
        """The code location of each run in progress, by its origin, with its job and backfill."""
        for record in self.in_progress or ():
            yield code_location_of(record.dagster_run) or NO_CODE_LOCATION, JobAndBackfill.of(record.dagster_run)

    @cached_property
    def slots(self) -> int | None:
        """The free slots; None for no limit."""
        if self.settings.max_concurrent_runs == -1:
            return None
        return max(0, self.settings.max_concurrent_runs - len(self.in_progress or ()))

    def competing(self) -> list[dict[str, float]]:
        """The weights of the code locations that compete for slots, and of their groups; see `levels`.

        A code location competes if it has runs in progress, or queued runs and a limit above 0.
        """
        held = {
            name
            for group in self.settings.code_location_limits.groups.values()
            if group.limit == 0
            for name in group.locations
        }
        names = {name for name in self.queued if self.limit(name) != 0 and name not in held}
        names |= set(self.in_progress_of)
        return levels({name: self.weight(name) for name in names}, self.settings.code_location_limits.groups)

    def advance_usage(self, usage: Usage, now: float) -> Usage:
        """The recent use by now, with code locations that have come back set level with the others.

        Nothing is counted if sharing isn't fair.

        Args:
            usage: The use as of the last tick.
            now: The daemon's clock, in seconds since 1970.
        """
        if not self.settings.is_fair:
            return usage
        limits = self.settings.code_location_limits
        used = usage.advanced(now, with_groups(self.in_progress_of, limits.groups), limits.half_life)
        return used.joined_by(self.competing())

    def weight(self, code_location: str) -> float:
        """The size of a code location's share relative to the others'."""
        in_force = self.limits.get(code_location)
        return in_force.weight if in_force else self.settings.code_location_limits.entry(code_location).weight

    def claims(self, usage: Usage) -> Claims:
        """The claim of each code location that has runs queued or is in a group."""
        limits = self.settings.code_location_limits
        of_each = {
            name: Claim(
                queued=self.manual_queued.get(name, self.queued.get(name, 0)),
                in_progress=self.in_progress_of[name],
                limit=self.limit(name),
                weight=self.weight(name),
                used=usage.of(name),
                min=limits.entry(name).min,
            )
            for name in {**self.queued, **limits.group_of}
        }
        return Claims.of(of_each, limits.groups, usage)

    def may_start(self, usage: Usage, queue: Callable[[str], Iterator[QueuedRun]]) -> dict[str, int | None]:
        """How many queued runs of each code location may start, by counts and order alone.

        This is for a daemon that reads the whole queue. What else holds a run isn't known then.

        Args:
            usage: The recent use of each code location.
            queue: Returns the queued runs of a code location in Dagster's order.

        Returns:
            The number of runs by code location; None for no limit.
        """
        claims = self.claims(usage)
        if self.settings.is_fair and self.slots is not None:
            allowed = allow(claims, self.slots + claims.in_progress)
            return {name: allowed[name] - claims.code_locations[name].in_progress for name in self.queued}
        # Within their room Dagster's order decides, except where there are minimums or a group's limit.
        kept = self.slots is not None and claims.have_minimums
        names = {name for name in self.queued if kept or _is_limited(claims.group(name))}
        admitted = admit(
            {name: queue(name) for name in names},
            claims,
            self.slots if kept else None,
            lambda _name, _run: True,
            fair=self.is_fair,
        )
        starts = Counter(name for name, _ in admitted)
        return {name: starts[name] if name in names else claims.room(name) for name in self.queued}

    def tighten_tag_limits(self, may_start: Mapping[str, int | None]) -> None:
        """Tighten the tag limits to exactly the runs that may start: a second guard, which Dagster applies.

        Dagster counts the runs in progress that carry a tag, whatever their origin.

        Args:
            may_start: How many runs of each code location with queued runs may start; None for no limit.
        """
        tagged = Counter(run.dagster_run.tags.get(CLT_TAG_KEY) for run in self.in_progress or ())
        names = {*self.limits, *may_start} - {NO_CODE_LOCATION}
        limits = {name: self._as_dagster_counts(name, tagged[name], may_start.get(name, 0)) for name in names}
        self.tag_limits[:] = as_tag_limits(
            limits, self.default_limit, self.settings.tag_concurrency_limits, applied=True
        )

    def _as_dagster_counts(self, name: str, tagged: int, may_start: int | None) -> int | None:
        limit = self.limit(name)
        if may_start is None:
            return None
        # If the code location or its group is above its limit, no run may replace one that ends.
        above = 0 if limit is None else max(0, self.in_progress_of[name] - limit)
        return max(0, tagged + may_start - max(above, self._above_in_its_group(name)))

    def _above_in_its_group(self, name: str) -> int:
        group = self.settings.code_location_limits.group(name)
        if group is None or group.limit is None:
            return 0
        return max(0, self._in_progress_of_all(group) - group.limit)

    def _in_progress_of_all(self, group: Group) -> int:
        return sum(self.in_progress_of[code_location] for code_location in group.locations)

    def saturated(self) -> Iterable[str]:
        """For the log: each code location with queued runs, with its runs in progress and its limit.

        The groups that have a limit follow in the same form.
        """
        for name in sorted(self.queued):
            limit = self.limit(name)
            manual_only = " manual launches only" if name in self.manual_only else ""
            yield (
                f"{name or 'without a code location'} {self.in_progress_of[name]}"
                f"/{'no limit' if limit is None else limit}{manual_only}"
            )
        for name, group in sorted(self.settings.code_location_limits.groups.items()):
            if group.limit is not None and any(of_it in self.queued for of_it in group.locations):
                yield f"group {name} {self._in_progress_of_all(group)}/{group.limit}"


def _is_limited(group: Claim | None) -> bool:
    return group is not None and group.limit is not None
