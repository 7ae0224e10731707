"""How many runs of each code location are queued and in progress: one query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    IN_PROGRESS_STATUSES,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    KeyValueStoreTable,
    RunRecord,
    RunsFilter,
    RunsTable,
    RunTagsTable,
    run_database,
)
from clt_queued_run_coordinator.limits import live
from clt_queued_run_coordinator.tagging.code_location_tag import CLT_TAG_KEY, code_location_of


@dataclass
class Count:
    """The runs of one code location.

    Attributes:
        queued: Runs in the queue.
        in_progress: Runs that hold a slot, in the statuses that the daemon of this Dagster version counts.
        untagged_in_progress: Those of them that don't carry the tag: Dagster's tag limits don't see them.
        waiting_since_before: Queued runs that were there when the last tick counted.
        oldest: When the oldest queued run was created, in UTC; None with nothing queued.
        last_id: The storage's number of the youngest queued run, 0 with nothing queued.
    """

    queued: int = 0
    in_progress: int = 0
    untagged_in_progress: int = 0
    waiting_since_before: int = 0
    oldest: datetime | None = None
    last_id: int = 0


@dataclass
class Counts:
    """The runs of every code location that has any queued or in progress.

    Attributes:
        by_code_location: The count of each.
        without_code_location: Runs in progress that don't tell where they come from; each uses up a slot.
        untagged_queued: Queued runs without the tag; Dagster queues none that doesn't tell where it comes from.
    """

    by_code_location: dict[str, Count] = field(default_factory=dict)
    without_code_location: int = 0
    untagged_queued: list[DagsterRun] = field(default_factory=list)

    def of(self, code_location: str) -> Count:
        """The count of a code location, added if it isn't there."""
        return self.by_code_location.setdefault(code_location, Count())

    @property
    def in_progress(self) -> int:
        """Runs in progress altogether: what the daemon compares with max_concurrent_runs."""
        return self.without_code_location + sum(c.in_progress for c in self.by_code_location.values())

    @property
    def queued(self) -> int:
        """Runs queued altogether."""
        return sum(c.queued for c in self.by_code_location.values())

    @property
    def last_id(self) -> int:
        """The storage's number of the youngest queued run, to tell later what has been waiting since."""
        return max((c.last_id for c in self.by_code_location.values()), default=0)


def read(instance: DagsterInstance, counted_before: int = 0) -> tuple[Counts, live.LiveChanges]:
    """Read counts and live changes through one connection: with PostgreSQL connecting costs most.

    Args:
        instance: Whose runs.
        counted_before: The `last_id` of an earlier reading, for `waiting_since_before`.
    """
    with run_database(instance).connect() as connection:
        rows = connection.execute(_counts_query(counted_before)).mappings().all()
        stored = connection.execute(_live_changes_query()).all()
    counts = Counts()
    untagged = False
    for row in rows:
        if row["code_location"] is None:
            untagged = True
            continue
        _add(counts.of(row["code_location"]), row)
    if untagged:
        _place_untagged(instance, counts, counted_before)
    return counts, live.parse((key, value) for key, value in stored)


def _counts_query(counted_before: int) -> db.Select[tuple[object, ...]]:
    tag = RunTagsTable.alias("tag")
    return (
        db.select(
            RunsTable.c.status,
            tag.c.value.label("code_location"),
            db.func.count().label("runs"),
            db.func.sum(db.case((RunsTable.c.id <= counted_before, 1), else_=0)).label("before"),
            db.func.min(RunsTable.c.create_timestamp).label("oldest"),
            db.func.max(RunsTable.c.id).label("last_id"),
        )
        .select_from(
            RunsTable.outerjoin(tag, db.and_(tag.c.run_id == RunsTable.c.run_id, tag.c.key == CLT_TAG_KEY))
        )
        .where(RunsTable.c.status.in_([s.value for s in (DagsterRunStatus.QUEUED, *IN_PROGRESS_STATUSES)]))
        .group_by(RunsTable.c.status, tag.c.value)
    )


def _live_changes_query() -> db.Select[tuple[str, str]]:
    return db.select(KeyValueStoreTable.c.key, KeyValueStoreTable.c.value).where(
        KeyValueStoreTable.c.key.like(f"{live.PREFIX}/%")
    )


def _add(count: Count, row: Mapping[str, object] | db.RowMapping) -> None:
    if row["status"] == DagsterRunStatus.QUEUED.value:
        count.queued += int(str(row["runs"]))
        count.waiting_since_before += int(str(row["before"]))
        count.oldest = _utc(row["oldest"])
        count.last_id = int(str(row["last_id"]))
    else:
        count.in_progress += int(str(row["runs"]))


def _place_untagged(instance: DagsterInstance, counts: Counts, counted_before: int) -> None:
    """Count each run that lacks the tag where its origin says it belongs."""
    for record in untagged_run_records(instance):
        run = record.dagster_run
        code_location = code_location_of(run)
        if code_location is None:
            counts.without_code_location += 1
            continue
        count = counts.of(code_location)
        if run.status != DagsterRunStatus.QUEUED:
            count.in_progress += 1
            count.untagged_in_progress += 1
            continue
        counts.untagged_queued.append(run)
        created = _utc(record.create_timestamp)
        count.queued += 1
        count.waiting_since_before += record.storage_id <= counted_before
        count.oldest = min(filter(None, (count.oldest, created)), default=created)
        count.last_id = max(count.last_id, record.storage_id)


def untagged_run_records(instance: DagsterInstance) -> Sequence[RunRecord]:
    """The records of queued and in-progress runs that don't carry the tag."""
    tagged = db.select(RunTagsTable.c.run_id).where(RunTagsTable.c.key == CLT_TAG_KEY)
    query = db.select(RunsTable.c.run_id).where(
        RunsTable.c.status.in_([s.value for s in (DagsterRunStatus.QUEUED, *IN_PROGRESS_STATUSES)]),
        RunsTable.c.run_id.not_in(tagged),
    )
    with run_database(instance).connect() as connection:
        run_ids = [row[0] for row in connection.execute(query).all()]
    records: list[RunRecord] = []
    for start in range(0, len(run_ids), 500):
        records.extend(instance.get_run_records(RunsFilter(run_ids=run_ids[start : start + 500])))
    return records


def known_code_locations(instance: DagsterInstance) -> set[str]:
    """The names of all code locations that a run was ever tagged with."""
    query = db.select(RunTagsTable.c.value).where(RunTagsTable.c.key == CLT_TAG_KEY).distinct()
    with run_database(instance).connect() as connection:
        return {row[0] for row in connection.execute(query).all()}


def _utc(stored: object) -> datetime | None:
    """The storages keep UTC without saying so."""
    if not isinstance(stored, datetime):
        return None
    return stored.replace(tzinfo=timezone.utc) if stored.tzinfo is None else stored
