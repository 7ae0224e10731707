"""The queue as people and scripts look at it: one line for each code location, and for each group. Pure."""

from dataclasses import asdict, dataclass, field
from typing import Any

from clt_queued_run_coordinator.operate.holds import holds
from clt_queued_run_coordinator.operate.now import Now
from clt_queued_run_coordinator.policy.claims import group_key
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.store.live import iso

A_WHILE = 60.0
"""Seconds after which a run that could start by the counts most likely waits for what they don't show."""

READINGS = {True: "narrowed", False: "whole"}


@dataclass(frozen=True)
class CodeLocationStatus:
    """One code location.

    Attributes:
        code_location: Its name.
        queued: Its queued runs.
        in_progress: Its runs in progress; each holds a slot.
        limit: The most that may be in progress at once; None for no limit.
        limit_from: Where the limit comes from, a value of `in_force.Source`.
        changed_by: Who made the live change behind the limit, if one is.
        changed_at: When, as ISO 8601 in UTC.
        weight: The size of its share relative to the others'.
        share: The slots that are its due now, a real number; None where nothing is shared.
        oldest_queued_seconds: How long ago its oldest queued run was created; None with nothing queued.
        waits_for: What its next run waits for; empty with nothing queued.
        credit_slot_seconds: By how much it has had less than its share lately, below 0 if it has had more. A free
            slot goes to whoever has had too little. None where nothing is shared.
        group: The group that it is in, if it is in one.
        min: Its minimum: the slots that it gets first.
        changed_until: When the live change or the window ends by itself, as ISO 8601 in UTC; None if it doesn't.
        change_reason: Why the live change was made, if that was said.
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
    share: float | None
    oldest_queued_seconds: float | None
    waits_for: str
    credit_slot_seconds: float | None = None
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
        queued: Their queued runs.
        in_progress: Their runs in progress.
        limit: The most that may be in progress at once; None for no limit.
        min: Its minimum: the slots that it gets first.
        weight: The size of its share relative to those of other groups and of code locations in none.
        share: The slots that are its due now, a real number; None where nothing is shared.
        credit_slot_seconds: By how much it has had less than its share lately; None where nothing is shared.
        waits_for: `its limit` where that holds queued runs of it; else empty.
    """

    group: str
    locations: list[str]
    queued: int
    in_progress: int
    limit: int | None
    min: int
    weight: float
    share: float | None
    credit_slot_seconds: float | None
    waits_for: str


@dataclass(frozen=True)
class Status:
    """The whole queue.

    Attributes:
        max_concurrent_runs: The one in force; -1 for no such limit.
        sharing: `fifo` or `fair`.
        queued: All queued runs.
        in_progress: All runs in progress.
        without_code_location: Those of them that don't tell their code location.
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


def status(now: Now) -> Status:
    """What to show of a queue.

    Args:
        now: The instance.
    """
    state = now.state
    return Status(
        max_concurrent_runs=state.settings.max_concurrent_runs,
        sharing=state.settings.code_location_limits.sharing.value,
        queued=sum(state.queued.values()),
        in_progress=len(state.in_progress),
        without_code_location=state.in_progress_of[NO_CODE_LOCATION],
        code_locations=[_of_code_location(now, name) for name in sorted(state.limits)],
        queue_reading=None if now.daemon.narrowed is None else READINGS[now.daemon.narrowed],
        groups=[_of_group(now, name) for name in sorted(state.settings.code_location_limits.groups)],
    )


def _of_code_location(now: Now, name: str) -> CodeLocationStatus:
    state, in_force = now.state, now.state.limits[name]
    configured = state.settings.code_location_limits
    max_queued = configured.entry(name).max_queued
    change, oldest = in_force.change, now.oldest.get(name)
    return CodeLocationStatus(
        code_location=name,
        queued=state.queued.get(name, 0),
        in_progress=state.in_progress_of[name],
        limit=in_force.limit,
        limit_from=in_force.source.value,
        changed_by=change.by if change else None,
        changed_at=iso(change.at) if change else None,
        weight=in_force.weight,
        share=now.share(name),
        oldest_queued_seconds=max(0.0, (now.at - oldest).total_seconds()) if oldest else None,
        waits_for=_waits_for(now, name) if state.queued.get(name) else "",
        credit_slot_seconds=now.credit_slot_seconds(name),
        group=configured.group_of.get(name),
        min=configured.entry(name).min,
        changed_until=iso(in_force.until),
        change_reason=change.reason if change else None,
        max_queued=max_queued,
        refused=None if max_queued is None else now.refused.get(name, 0),
    )


def _of_group(now: Now, name: str) -> GroupStatus:
    state = now.state
    group = state.settings.code_location_limits.groups[name]
    queued, in_progress = (
        sum(state.queued.get(member, 0) for member in group.locations),
        state.in_progress_of_group(group),
    )
    return GroupStatus(
        group=name,
        locations=sorted(group.locations),
        queued=queued,
        in_progress=in_progress,
        limit=group.limit,
        min=group.min,
        weight=group.weight,
        share=now.share(group_key(name)),
        credit_slot_seconds=now.credit_slot_seconds(group_key(name)),
        waits_for="its limit" if queued and group.limit is not None and in_progress >= group.limit else "",
    )


def _waits_for(now: Now, name: str) -> str:
    """What the counts tell; what they don't is left to `dagster-clt explain`."""
    for hold in holds(now.state, name):
        return hold.waits_for
    share, oldest = now.share(name), now.oldest.get(name, now.at)
    has_waited = (now.at - oldest).total_seconds() >= A_WHILE
    if has_waited and name in now.state.credit.blocked:
        return "a pool or another limit, see `dagster-clt explain`"
    if share is not None and now.state.in_progress_of[name] >= share:
        return "its share"
    return "the next tick; if it stays so, see `dagster-clt explain`" if has_waited else "the next tick"
