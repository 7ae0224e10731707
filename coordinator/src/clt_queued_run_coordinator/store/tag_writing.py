"""Writes tags to runs over a single connection: connecting to PostgreSQL is most of the cost of a submit."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timezone

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    PRIORITY_TAG,
    REPOSITORY_LABEL_TAG,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunsTable,
    RunTagsTable,
    serialize_value,
)
from clt_queued_run_coordinator.policy.holds import WAITS_FOR_TAG, is_ours
from clt_queued_run_coordinator.store.code_location import own_tags
from clt_queued_run_coordinator.store.rows import in_chunks, run_of
from clt_queued_run_coordinator.store.transaction import transaction

_QUEUED = (DagsterRunStatus.QUEUED.value,)
_NOT_STARTED = (DagsterRunStatus.NOT_STARTED.value, *_QUEUED)
_NOT_IN_PROGRESS = (
    *_NOT_STARTED,
    *(status.value for status in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)),
)


def write_tags(
    where: DagsterInstance | db.Connection, run_ids: Iterable[str], more: Mapping[str, str] | None = None
) -> None:
    """Tag runs that are queued or about to be with the code locations of their origins. Other runs are skipped.

    If there are more tags, they get these as well.

    A tag of this package that says what they wait for is removed: they start, or have it from a parent run.

    A run has its tags twice: in its body, which the daemon's limits look at, and in rows, which filters look at.
    Both are written in one transaction that first locks the run. So the second of two writers sees what the first
    has written; no unique key would prevent a duplicate row. `DagsterInstance.add_run_tags` takes two connections
    and no lock, and never adds a missing row. A label of Dagster that a user has replaced is put right as well.

    Runs in progress are left alone, because whoever handles their events may be overwriting the body. An open
    PostgreSQL connection can stand for the instance.
    """

    def tags_of(run: DagsterRun) -> dict[str, str | None]:
        return {**own_tags(run), **(more or {}), **_without_waits_for(run)}

    for some in in_chunks(run_ids):
        _write(where, some, tags_of, _NOT_STARTED)


def write_priority(instance: DagsterInstance, run_ids: Iterable[str], priority: int) -> int:
    """Set Dagster's priority tag on queued runs. Runs that have left the queue are skipped.

    It locks the runs as `write_tags` does. So no tag of another writer is lost, and a run that the daemon dequeues
    at this moment either gets its priority first or isn't touched. Returns the number of runs that were changed.
    """
    tags = {PRIORITY_TAG: str(priority)}
    return sum(_write(instance, some, lambda _: tags, _QUEUED, is_order=True) for some in in_chunks(run_ids))


def write_waits_for(instance: DagsterInstance, texts: Mapping[str, str | None]) -> None:
    """Say in the tags of queued runs, by run id, what they wait for. A tag of the same key by a user stays.

    None removes the tag, also from runs that have ended. Runs in progress are left alone.
    """

    def tags_of(run: DagsterRun) -> dict[str, str | None]:
        text = texts[run.run_id]
        if text is not None and run.status is not DagsterRunStatus.QUEUED:
            return {}
        return dict.fromkeys(_without_waits_for(run), text)

    _write(instance, list(texts), tags_of, _NOT_IN_PROGRESS)


def _without_waits_for(run: DagsterRun) -> dict[str, str | None]:
    """The tag removed, unless a user wrote it. Where another writer's body has lost it, its row is still there."""
    stands = run.tags.get(WAITS_FOR_TAG)
    return {WAITS_FOR_TAG: None} if stands is None or is_ours(stands) else {}


def _write(
    where: DagsterInstance | db.Connection,
    run_ids: Collection[str],
    tags_of: Callable[[DagsterRun], Mapping[str, str | None]],
    statuses: Collection[str],
    *,
    is_order: bool = False,
) -> int:
    """Write tags to those of the runs that are in the given statuses and can be read; returns their number.

    A tag that is None is removed.
    """
    in_status = RunsTable.c.status.in_(statuses)
    query = (
        db.select(RunsTable.c.run_id, RunsTable.c.run_body, RunsTable.c.status)
        .where(RunsTable.c.run_id.in_(run_ids), in_status)
        .order_by(RunsTable.c.id)  # all writers lock in the same order, so that they can't deadlock
        .with_for_update()
    )
    bodies: dict[str, str] = {}
    rows: list[dict[str, str]] = []
    rewritten: dict[frozenset[str], list[str]] = {}
    with transaction(where) as connection:
        for run_id, body, status in connection.execute(query).all():
            run = run_of(body)
            # The status column is authoritative; the body may hold an older status.
            tags = tags_of(run.with_status(DagsterRunStatus(status))) if run else None
            if not run or not tags:
                continue
            # Dagster derives the label of a body that has none.
            in_body = {key: tags[key] for key in tags if key != REPOSITORY_LABEL_TAG or key in run.tags}
            merged = {key: value for key, value in {**run.tags, **in_body}.items() if value is not None}
            bodies[run_id] = serialize_value(run.with_tags(merged))
            # The rows of a run that isn't queued yet come from its body. Anybody may have changed a queued run.
            if status != DagsterRunStatus.NOT_STARTED.value or not tags.keys().isdisjoint(run.tags):
                rewritten.setdefault(frozenset(tags), []).append(run_id)
                in_body = dict(tags)
            rows += [
                {"run_id": run_id, "key": key, "value": value}
                for key, value in in_body.items()
                if value is not None
            ]
        if bodies:
            written = RunsTable.update().where(RunsTable.c.run_id.in_(list(bodies)), in_status)
            if is_order:  # as Dagster does when it adds tags; it tells the daemon that the order has changed
                written = written.values(update_timestamp=datetime.now(timezone.utc))
            connection.execute(written.values(run_body=db.case(bodies, value=RunsTable.c.run_id)))
        for keys, ids in rewritten.items():
            of_them = RunTagsTable.c.run_id.in_(ids), RunTagsTable.c.key.concat("").in_(keys)
            connection.execute(RunTagsTable.delete().where(*of_them))
        if rows:
            connection.execute(RunTagsTable.insert(), rows)
    return len(bodies)
