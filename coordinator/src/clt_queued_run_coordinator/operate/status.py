"""The queue as people and scripts look at it: one line for each code location, and for each group. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from clt_queued_run_coordinator.config.options import QueueReading
from clt_queued_run_coordinator.operate.queue_state import QueueState
from clt_queued_run_coordinator.policy.claims import group_key
from clt_queued_run_coordinator.policy.in_force import Source
from clt_queued_run_coordinator.policy.usage import Usage
from clt_queued_run_coordinator.store.live import iso

A_WHILE = 60.0
"""Seconds after which a run that could start by the counts most likely waits for what they don't show."""

READINGS = {True: QueueReading.NARROWED, False: QueueReading.WHOLE}

HELD = {
    Source.PAUSED: "resume",
    Source.BREAKER: "its circuit breaker",
    Source.WINDOW: "the end of its window",
}
"""What a code location waits for that nothing may start of."""


@dataclass(frozen=True)
class CodeLocationStatus:
    """One code location.

    Attributes:
        code_location: Its name.
        queued: Its runs in the queue.
        in_progress: Its runs that hold a slot.
        limit: The most that may be in progress at once; None for no limit.
        limit_from: Where the limit comes from, a value of `limits.Source`.
        changed_by: Who made the live change behind the limit, if one is.
        changed_at: When, as ISO 8601 in UTC.
        changed_until: When the live change or the window ends by itself, likewise; None if it doesn't.
        change_reason: Why the live change was made, if that was said.
        weight: How large its share is beside the others'.
        share: The slots that are its own where sharing is fair; None where nothing is shared.
        oldest_queued_seconds: How long ago its oldest queued run was created; None with nothing queued.
        waits_for: What its oldest queued run waits for; empty with nothing queued.
        used_slot_seconds: What it has used of the slots lately, which decides between equals where sharing is
            fair; None where nothing is shared. See `shares.usage`.
        group: The group that it is in, if it is in one.
        min: The slots that are kept for it.
        max_queued: The most runs that may be queued; None for no such limit.
        refused: How many submits were ever refused because of it; None without it.
    """

    code_location: str
    queued: int
    in_progress: int
    limit: int | None
    limit_from: str
    changed_by: str | None
    changed_at: str | None
    weight: float
    share: int | None
    oldest_queued_seconds: float | None
    waits_for: str
    used_slot_seconds: float | None = None
    group: str | None = None
    min: int = 0
    changed_until: str | None = None
    change_reason: str | None = None
    max_queued: int | None = None
    refused: int | None = None


@dataclass(frozen=True)
class GroupStatus:
    """One group of code locations.

    Attributes:
        group: Its name.
        locations: Its code locations.
        queued: Their runs in the queue.
        in_progress: Their runs that hold a slot.
        limit: The most that may be in progress at once; None for no limit.
        min: The slots that are kept for it.
        weight: How large its share is beside those of other groups and of code locations in none.
        share: The slots that are its own where sharing is fair; None where nothing is shared.
        used_slot_seconds: What it has used of the slots lately; None where nothing is shared.
        waits_for: `its limit` where that holds queued runs of it; else empty.
    """

    group: str
    locations: list[str]
    queued: int
    in_progress: int
    limit: int | None
    min: int
    weight: float
    share: int | None
    used_slot_seconds: float | None
    waits_for: str


@dataclass(frozen=True)
class Status:
    """The whole queue.

    Attributes:
        max_concurrent_runs: The effective one; -1 for no such limit.
        sharing: `fifo` or `fair`.
        queued: Runs in the queue.
        in_progress: Runs in progress, those that don't tell their code location included.
        without_code_location: Those of them.
        code_locations: By name.
        queue_reading: `narrowed` where the daemon reads just the queued runs that may start, `whole` where it
            reads the whole queue; None before its first tick.
        groups: By name.
    """

    max_concurrent_runs: int
    sharing: str
    queued: int
    in_progress: int
    without_code_location: int
    code_locations: list[CodeLocationStatus]
    queue_reading: str | None = None
    groups: list[GroupStatus] = field(default_factory=list)

    def as_data(self) -> dict[str, Any]:
        """The same as plain data, for JSON; the attributes are the fields."""
        return asdict(self)


def status(state: QueueState, now: datetime) -> Status:
    """What to show of a queue.

    Args:
        state: The queue.
        now: The moment that ages are measured at, in UTC.
    """
    shares = state.shares()
    used = state.used(now)
    return Status(
        max_concurrent_runs=state.max_concurrent_runs,
        sharing=state.settings.code_location_limits.sharing.value,
        queued=state.counts.queued,
        in_progress=state.counts.in_progress,
        without_code_location=state.counts.without_code_location,
        code_locations=[
            _of_code_location(
                state, name, shares.get(name, 0) if shares else None, used.of(name) if used else None, now
            )
            for name in sorted(state.limits)
        ],
        queue_reading=None if state.daemon.narrowed is None else READINGS[state.daemon.narrowed].value,
        groups=_groups(state, shares, used),
    )


def _groups(state: QueueState, shares: Mapping[str, int], used: Usage | None) -> list[GroupStatus]:
    claims = state.claims()
    return [
        GroupStatus(
            group=name,
            locations=sorted(group.locations),
            queued=claims.groups[name].queued,
            in_progress=claims.groups[name].in_progress,
            limit=group.limit,
            min=group.min,
            weight=group.weight,
            share=sum(shares.get(location, 0) for location in group.locations) if shares else None,
            used_slot_seconds=round(used.of(group_key(name)), 1) if used else None,
            waits_for="its limit" if claims.groups[name].queued and claims.groups[name].room == 0 else "",
        )
        for name, group in sorted(state.settings.code_location_limits.groups.items())
    ]


def _of_code_location(
    state: QueueState, name: str, share: int | None, used: float | None, now: datetime
) -> CodeLocationStatus:
    count = state.count(name)
    in_force = state.limits[name]
    configured = state.settings.code_location_limits
    max_queued = configured.entry(name).max_queued
    change = in_force.change
    oldest = max(0.0, (now - count.oldest).total_seconds()) if count.oldest else None
    return CodeLocationStatus(
        code_location=name,
        queued=count.queued,
        in_progress=count.in_progress,
        limit=in_force.limit,
        limit_from=in_force.source.value,
        changed_by=change.by if change else None,
        changed_at=iso(change.at) if change else None,
        weight=in_force.weight,
        share=share,
        oldest_queued_seconds=oldest,
        waits_for=_waits_for(state, name, share, oldest or 0.0) if count.queued else "",
        used_slot_seconds=None if used is None else round(used, 1),
        group=configured.group_of.get(name),
        min=configured.entry(name).min,
        changed_until=iso(in_force.until),
        change_reason=change.reason if change else None,
        max_queued=max_queued,
        refused=None if max_queued is None else state.refused.get(name, 0),
    )


def _waits_for(state: QueueState, name: str, share: int | None, oldest: float) -> str:
    """What the counts tell; what they don't is left to `dagster-clt explain`."""
    count = state.count(name)
    in_force = state.limits[name]
    if in_force.limit == 0:
        return HELD.get(in_force.source, "a higher limit")
    if in_force.limit is not None and count.in_progress >= in_force.limit:
        return "its limit"
    group = state.settings.code_location_limits.group(name)
    if group and group.limit is not None and state.in_progress_of(group) >= group.limit:
        return "a higher limit of its group" if group.limit == 0 else "its group's limit"
    if state.max_concurrent_runs != -1 and state.counts.in_progress >= state.max_concurrent_runs:
        return "a free slot"
    if share is not None and count.in_progress >= share:
        return "its share"
    return "the next tick" if oldest < A_WHILE else "the next tick; if it stays so, see `dagster-clt explain`"
