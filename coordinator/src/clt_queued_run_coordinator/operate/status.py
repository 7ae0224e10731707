"""The queue as people and scripts look at it: one line for each code location, and for each group."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterInstance, run_database
from clt_queued_run_coordinator.operate import workspace
from clt_queued_run_coordinator.operate.coming_tick import checks_of
from clt_queued_run_coordinator.operate.now import Now
from clt_queued_run_coordinator.policy.changes import iso
from clt_queued_run_coordinator.policy.claims import group_key
from clt_queued_run_coordinator.policy.holds import Hold, holds
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.store.rows import load_runs

A_WHILE = 60.0
"""Seconds after which a run that could start by the counts most likely waits for what they don't show."""


def _used(line: Any) -> Any:
    return line.in_progress if line.in_progress_slots is None else line.in_progress_slots


@dataclass(frozen=True)
class CodeLocationStatus:
    """One code location. Times are ISO 8601 in UTC.

    Attributes:
        limit: The most that may be in progress at once; None for no limit.
        limit_from: Where the limit comes from, a value of `in_force.Source`.
        share: The slots that are its due now, a real number; None where nothing is shared.
        oldest_queued_seconds: How long ago its oldest queued run was created; None with nothing queued.
        waits_for: What its next run waits for; empty with nothing queued.
        credit_slot_seconds: By how much it has had less than its share lately, below 0 if it has had more. A free
            slot goes to whoever has had too little. None where nothing is shared.
        min: The slots that it gets first.
        changed_until: When the live change or the window ends by itself; None if it doesn't.
        max_queued: The most runs that may be queued; None for no such limit.
        refused: How many submits were ever refused because of it; None without it.
        queued_slots: The slots that its queued runs take; None where each run takes one.
        in_progress_slots: The slots that its runs in progress hold, which its limit counts; None as above.
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
    queued_slots: int | None = None
    in_progress_slots: int | None = None

    used = property(_used)
    """What its limit counts: its slots in use."""


@dataclass(frozen=True)
class GroupStatus:
    """One group of code locations; what has the name of a code location's attribute is the same of all of them.

    Attributes:
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
    queued_slots: int | None = None
    in_progress_slots: int | None = None

    used = property(_used)
    """What its limit counts: its slots in use."""


@dataclass(frozen=True)
class Status:
    """The whole queue, with its code locations and groups by name.

    Attributes:
        max_concurrent_runs: The one in force; -1 for no such limit.
        sharing: `fifo` or `fair`.
        without_code_location: Those of the runs in progress that don't tell their code location.
        queue_reading: `narrowed` where the daemon reads just the queued runs that may start, `whole` where it
            reads the whole queue; None before its first tick.
        dequeued_by: The machine and process of the daemon that dequeues, or last did; None before its first tick.
        in_progress_slots: The slots that runs in progress hold; None where each run takes one.
    """

    max_concurrent_runs: int
    sharing: str
    queued: int
    in_progress: int
    without_code_location: int
    code_locations: list[CodeLocationStatus]
    queue_reading: str | None = None
    groups: list[GroupStatus] = field(default_factory=list)
    dequeued_by: str | None = None
    in_progress_slots: int | None = None

    used = property(_used)
    """What max_concurrent_runs counts: the slots in use."""

    def as_data(self) -> dict[str, Any]:
        """The same as plain data, for JSON; the attributes are the fields, those of slots if slots count."""
        data = asdict(self)
        for part in (data, *data["code_locations"], *data["groups"]) if self.in_progress_slots is None else ():
            for name in ("queued_slots", "in_progress_slots"):
                part.pop(name, None)
        return data


def read(instance: DagsterInstance, now: Now) -> Status:
    """What to show of a queue, with every code location of the workspace and the full pools that hold any."""
    found = workspace.find()
    return status(now, found.code_locations if found else (), _full_pools(instance, now))


def _full_pools(instance: DagsterInstance, now: Now) -> dict[str, list[str]]:
    """The pools that hold the oldest queued run of a code location that nothing else holds.

    Reads just these runs and their pools.
    """
    first = {storage_id: name for name, storage_id in now.first.items() if not any(_holds(now, name))}
    with run_database(instance).connect() as connection:
        runs = load_runs(connection, first)
    checks = checks_of(instance, now.state)
    checks.load_pools(runs.values())
    return {first[storage_id]: checks.full_pools(run) for storage_id, run in runs.items()}


def status(
    now: Now, code_locations: Collection[str] = (), full_pools: Mapping[str, Sequence[str]] | None = None
) -> Status:
    """What to show of a queue, with some code locations also if nothing is known of them.

    `full_pools` has those that hold a code location.
    """
    names = sorted({*now.state.limits, *code_locations})
    state, narrowed = now.state, now.daemon.stored.narrowed
    return Status(
        max_concurrent_runs=state.settings.max_concurrent_runs,
        sharing=state.settings.code_location_limits.sharing.kind,
        queued=sum(state.queued.values()),
        in_progress=len(state.in_progress),
        without_code_location=state.number_in_progress_of[NO_CODE_LOCATION],
        code_locations=[_of_code_location(now, name, (full_pools or {}).get(name, ())) for name in names],
        queue_reading=None if narrowed is None else "narrowed" if narrowed else "whole",
        groups=[_of_group(now, name) for name in sorted(state.settings.code_location_limits.groups)],
        dequeued_by=now.daemon.leader.process if now.daemon.leader else None,
        in_progress_slots=None if state.queued_slots is None else state.in_progress_of.total(),
    )


def _of_code_location(now: Now, name: str, full_pools: Sequence[str]) -> CodeLocationStatus:
    state, in_force = now.state, now.state.in_force(name)
    limits = state.settings.code_location_limits
    entry, change, oldest = limits.entry(name), in_force.change, now.oldest.get(name)
    return CodeLocationStatus(
        code_location=name,
        queued=state.queued.get(name, 0),
        in_progress=state.number_in_progress_of[name],
        limit=in_force.limit,
        limit_from=in_force.source.value,
        changed_by=change.by if change else None,
        changed_at=iso(change.at) if change else None,
        weight=entry.weight,
        share=now.share(name),
        oldest_queued_seconds=max(0.0, (now.at - oldest).total_seconds()) if oldest else None,
        waits_for=_waits_for(now, name, full_pools) if state.queued.get(name) else "",
        credit_slot_seconds=now.credit_slot_seconds(name),
        group=limits.group_name(name),
        min=entry.min,
        changed_until=iso(in_force.until),
        change_reason=change.reason if change else None,
        max_queued=entry.max_queued,
        refused=None if entry.max_queued is None else now.refused.get(name, 0),
        queued_slots=None if state.queued_slots is None else state.queued_slots.get(name, 0),
        in_progress_slots=None if state.queued_slots is None else state.in_progress_of[name],
    )


def _of_group(now: Now, name: str) -> GroupStatus:
    key, state = group_key(name), now.state
    claim = state.claims.groups[key]
    locations = sorted(state.settings.code_location_limits.groups[name].locations)
    return GroupStatus(
        group=name,
        locations=locations,
        queued=sum(state.queued.get(location, 0) for location in locations),
        in_progress=sum(state.number_in_progress_of[location] for location in locations),
        limit=claim.limit,
        min=claim.min,
        weight=claim.weight,
        share=now.share(key),
        credit_slot_seconds=now.credit_slot_seconds(key),
        waits_for="its limit" if claim.startable and claim.room == 0 else "",
        queued_slots=None if state.queued_slots is None else claim.startable,
        in_progress_slots=None if state.queued_slots is None else claim.in_progress,
    )


def _holds(now: Now, name: str) -> Iterator[Hold]:
    return holds(now.state, name, slots=now.takes.get(name, 1))


def _waits_for(now: Now, name: str, full_pools: Sequence[str]) -> str:
    """What the counts tell; what they don't is left to `dagster-clt explain`."""
    for hold in _holds(now, name):
        return hold.waits_for
    if full_pools:
        return f"the pool{'s' if len(full_pools) > 1 else ''} {', '.join(full_pools)}"
    share, oldest = now.share(name), now.oldest.get(name, now.at)
    has_waited = (now.at - oldest).total_seconds() >= A_WHILE
    if has_waited and name in now.state.credit.blocked:
        return "a pool or another limit, see `dagster-clt explain`"
    if share is not None and now.state.in_progress_of[name] >= share:
        return "its share"
    return "the next tick; if it stays so, see `dagster-clt explain`" if has_waited else "the next tick"
