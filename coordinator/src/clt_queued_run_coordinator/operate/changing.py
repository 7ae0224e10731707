"""Changes as people ask for them: what is refused, what would be in force, and what is written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, RunsTable
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.operate import names
from clt_queued_run_coordinator.policy.changes import Change
from clt_queued_run_coordinator.policy.in_force import LimitInForce
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.code_location import origins
from clt_queued_run_coordinator.store.rows import IS_QUEUED, in_chunks
from clt_queued_run_coordinator.store.tag_writing import write_priority
from clt_queued_run_coordinator.store.transaction import reading
from clt_queued_run_coordinator.text.formats import timestamp


def queued_by_code_location(instance: DagsterInstance, run_ids: Sequence[str]) -> Counter[str]:
    """How many of some runs are queued, by the code location of their origin; "" for those without one."""
    found: Counter[str] = Counter()
    with reading(instance) as connection:
        for some in in_chunks(run_ids):
            query = db.select(RunsTable.c.id).where(RunsTable.c.run_id.in_(some), IS_QUEUED)
            of_each = origins(connection, connection.execute(query).scalars().all())
            found.update(name or "" for name in of_each.values())
    return found


def prioritize(
    instance: DagsterInstance,
    run_ids: Sequence[str],
    priority: int,
    of: str,
    reason: str | None = None,
    *,
    by: str | None = None,
) -> int:
    """Set the priority of queued runs, `of` in words, and tell the history; returns how many were changed.

    By default this process's user does it.
    """
    names_of_them = queued_by_code_location(instance, run_ids)
    written = write_priority(instance, run_ids, priority)
    if written:
        live.record_priority(instance, sorted(names_of_them), priority, of, reason=reason, by=by)
    return written


def code_locations(
    instance: DagsterInstance, settings: Settings, code_location: str | None, *, force: bool = False
) -> list[str]:
    """The code locations that a change is about: one, or all for None.

    Raises:
        RefusalError: The one isn't known, and it isn't forced.
    """
    if code_location is None:
        return sorted(names.known(instance, settings))
    if not force:
        names.refuse_unknown(code_location, names.known(instance, settings))
    return [code_location]


def effect(state: QueueState, name: str, written: Change) -> str:
    """Which limit is in force in the queue after a change, and until when, in one line."""
    return f"{limit_in_words(state.in_force(name))} from the next tick {_end(state, name, written)}"


def limit_in_words(in_force: LimitInForce) -> str:
    """A limit and where it comes from."""
    return "no limit" if in_force.limit is None else f"limit {in_force.limit} ({in_force.source.value})"


def _end(state: QueueState, name: str, written: Change) -> str:
    """How long the limit in force lasts, and which one applies then."""
    in_force = state.in_force(name)
    if written.until and (in_force.until is None or in_force.until > written.until):
        still = f"on, and after {timestamp(written.until)} too"
        change = in_force.change
        return f"{still}: {in_force.source.value} by {change.by} at {timestamp(change.at)}" if change else still
    if in_force.until is None:
        return "on"
    then = replace(state, live=state.live.at(in_force.until)).in_force(name)
    return f"until {timestamp(in_force.until)}, then {limit_in_words(then)}"
