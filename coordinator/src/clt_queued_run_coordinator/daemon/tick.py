"""One tick of the daemon: the limits in force, the runs in progress, and what follows from the two. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from clt_queued_run_coordinator._dagster import RunRecord
from clt_queued_run_coordinator.daemon.admission import admit
from clt_queued_run_coordinator.limits.configuration import Group
from clt_queued_run_coordinator.limits.in_force import (
    LimitInForce,
    Source,
    code_locations_named_in,
    default_limit,
    effective_limits,
    limits_of,
)
from clt_queued_run_coordinator.limits.settings import Settings
from clt_queued_run_coordinator.limits.tag_limits import as_tag_limits
from clt_queued_run_coordinator.live import Change, LiveChanges
from clt_queued_run_coordinator.queue.queued_run import NO_CODE_LOCATION, JobAndBackfill, QueuedRun
from clt_queued_run_coordinator.shares.claims import Claim, Claims, levels, with_groups
from clt_queued_run_coordinator.shares.sharing import allow
from clt_queued_run_coordinator.shares.usage import Usage
from clt_queued_run_coordinator.tagging.code_location_tag import CLT_TAG_KEY, code_location_of


@dataclass
class Tick:
    """What holds in one tick.

    Attributes:
        settings: The settings in force.
        live: The live changes.
        queued: How many runs of each code location are queued.
        tag_limits: The tag limits that the daemon was handed. It looks at them only after it has read the queue,
            so what was found out by then is written into this very list.
        in_progress: The runs in progress, read by the daemon after the queue was read here.
        whole: Whether the daemon reads the whole queue.
        manual_queued: Of the code locations of which only runs may start that somebody launched by hand, how many
            of these are queued.
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
        )

    @cached_property
    def limits(self) -> dict[str, LimitInForce]:
        """The limit in force of each code location that is named anywhere or has runs queued."""
        names = {
            *self.settings.code_location_limits.named_locations,
            *self.live.code_locations,
            *code_locations_named_in(self.settings.tag_concurrency_limits),
            *self.queued,
        }
        return limits_of(names - {NO_CODE_LOCATION}, self.settings, self.live)

    def limit(self, code_location: str) -> int | None:
        """The limit in force of a code location; the usual one where manual launches pass its circuit breaker."""
        if code_location == NO_CODE_LOCATION:
            return None
        if code_location in self.manual_only:
            return limits_of([code_location], self.settings, replace(self.live, breakers={}))[code_location].limit
        return self.limits[code_location].limit

    @property
    def manual_only(self) -> frozenset[str]:
        """The code locations of which only what somebody launched by hand may start."""
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
        """The limit of a code location that nobody has named or seen."""
        return default_limit(self.settings, self.live)

    @property
    def has_limits(self) -> bool:
        """Whether anything limits what may start, or may come to do so amid the tick."""
        return (
            self.settings.max_concurrent_runs != -1
            or self.default_limit is not None
            or any(in_force.limit is not None for in_force in self.limits.values())
            or self._has_limited_groups
            or self.settings.code_location_limits.has_breakers
            or self.settings.code_location_limits.has_job_or_backfill_limits
        )

    def hold(self, breakers: Mapping[str, Change]) -> None:
        """Start nothing of the code locations whose circuit breakers have opened in this tick."""
        self.live = replace(self.live, breakers={**self.live.breakers, **breakers})
        self.__dict__.pop("limits", None)  # they were worked out without

    @property
    def is_fair(self) -> bool:
        """Whether there are slots to share out: those of the total, or those of a group's limit."""
        return self.settings.is_fair and (self.settings.max_concurrent_runs != -1 or self._has_limited_groups)

    @cached_property
    def _has_limited_groups(self) -> bool:
        return any(group.limit is not None for group in self.settings.code_location_limits.groups.values())

    @cached_property
    def in_progress_of(self) -> Counter[str]:
        """The runs in progress by their origin, which is the truth whatever they are tagged with."""
        return Counter(code_location_of(run.dagster_run) or NO_CODE_LOCATION for run in self.in_progress or ())

    def jobs_and_backfills_in_progress(self) -> Iterator[tuple[str, JobAndBackfill]]:
        """The code location of each run in progress, by its origin, and what it belongs to within it."""
        for record in self.in_progress or ():
            yield code_location_of(record.dagster_run) or NO_CODE_LOCATION, JobAndBackfill.of(record.dagster_run)

    @cached_property
    def slots(self) -> int | None:
        """The free slots; None for no limit."""
        if self.settings.max_concurrent_runs == -1:
            return None
        return max(0, self.settings.max_concurrent_runs - len(self.in_progress or ()))

    def competing(self) -> list[dict[str, float]]:
        """The weight of each code location that has runs in progress, or queued ones that its limit lets start.

        With those of their groups, by who competes with whom; see `levels`.
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
        """How large a code location's share is beside the others'."""
        in_force = self.limits.get(code_location)
        return in_force.weight if in_force else self.settings.code_location_limits.entry(code_location).weight

    def claims(self, usage: Usage) -> Claims:
        """What each code location that has runs queued, or is in a group, could use."""
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
        """How many runs of each code location with runs queued may start, worked out from counts and order alone.

        For a daemon that reads the whole queue: what else holds a run isn't known.

        Args:
            usage: What each has used of the slots.
            queue: The queued runs of a code location, in Dagster's order.

        Returns:
            By code location; None for no limit.
        """
        claims = self.claims(usage)
        if self.settings.is_fair and self.slots is not None:
            allowed = allow(claims, self.slots + claims.in_progress)
            return {name: allowed[name] - claims.code_locations[name].in_progress for name in self.queued}
        # Within their room Dagster's order decides, but for the slots that are kept and for a group's room.
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
        """Hand over tag limits that let just so many runs of each code location start: Dagster's own guard.

        Dagster counts the runs in progress that carry a tag, whatever their origin.

        Args:
            may_start: How many runs may start of each code location that has runs queued; None for no limit.
        """
        tagged = Counter(run.dagster_run.tags.get(CLT_TAG_KEY) for run in self.in_progress or ())
        names = {*self.limits, *may_start} - {NO_CODE_LOCATION}
        limits = {name: self._as_dagster_counts(name, tagged[name], may_start.get(name, 0)) for name in names}
        self.tag_limits[:] = as_tag_limits(limits, self.default_limit, self.settings.tag_concurrency_limits)

    def _as_dagster_counts(self, name: str, tagged: int, may_start: int | None) -> int | None:
        limit = self.limit(name)
        if may_start is None:
            return None
        # Above its limit, or its group's, nothing may start in place of a run that ends.
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
        """Each code location with runs queued, with its runs in progress and its limit, for a line in the log.

        Then each group of theirs that has a limit.
        """
        for name in sorted(self.queued):
            limit = self.limit(name)
            yield (
                f"{name or 'without a code location'} {self.in_progress_of[name]}"
                f"/{'no limit' if limit is None else limit}{' by hand' if name in self.manual_only else ''}"
            )
        for name, group in sorted(self.settings.code_location_limits.groups.items()):
            if group.limit is not None and any(of_it in self.queued for of_it in group.locations):
                yield f"group {name} {self._in_progress_of_all(group)}/{group.limit}"


def _is_limited(group: Claim | None) -> bool:
    return group is not None and group.limit is not None
