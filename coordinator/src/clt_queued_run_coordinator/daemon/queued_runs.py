"""The queued runs in Dagster's order, kept in the daemon's memory from tick to tick.

The order needs each run's code location and priority, which are rows of `run_tags`, one row per tag. Reading them
for the whole queue at each tick would take longer the longer the queue is. So a tick reads which runs have
changed since the last reading, checks on the runs that were offered, and counts the queued runs. If the count is
unexpected, it reads the ids of all queued runs. Now and then, and whenever something is in doubt, it reads the
whole queue by one statement, as does whoever asks only once.

The runs of a code location wait in lanes; see `lanes`.
"""

import json
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as db
from sqlalchemy.dialects.postgresql import aggregate_order_by

from clt_queued_run_coordinator._dagster import BACKFILL_ID_TAG, PRIORITY_TAG, RunsTable, RunTagsTable
from clt_queued_run_coordinator.config.options import CodeLocationLimits
from clt_queued_run_coordinator.policy.job_and_backfill_limits import lane_key
from clt_queued_run_coordinator.policy.lanes import Lane, Lanes
from clt_queued_run_coordinator.policy.queued_run import (
    NO_CODE_LOCATION,
    JobAndBackfill,
    MayStart,
    QueuedRun,
    priority_of,
)
from clt_queued_run_coordinator.policy.size import SIZE_TAGS, slots_of
from clt_queued_run_coordinator.store.code_location import (
    NAMING_TAGS,
    QueuedRow,
    body_has_label,
    from_rows,
    look_up,
)
from clt_queued_run_coordinator.store.rows import IS_QUEUED, has_key, in_chunks, run_ids

CLOCK_TOLERANCE = timedelta(seconds=15)
"""How far the clocks of those who queue and change runs may be behind the database's for a change to be seen at
the next tick."""

WHOLE_READING_INTERVAL = timedelta(seconds=60)
"""How often the whole queue is read. Only then a change is seen that has an old time or none, such as an SQL
statement by hand."""

DEPARTED_KEPT = 100_000
"""The most departed runs that are kept until somebody asks for them. Beyond that they are dropped."""

_ANY = JobAndBackfill()


class QueuedRuns:
    """The queue of an instance; empty until it is first refreshed. The limits decide which runs are alike."""

    def __init__(self, limits: CodeLocationLimits | None = None) -> None:
        self._limits = limits or CodeLocationLimits()
        self._lane_key = lane_key(self._limits)
        self._lanes: dict[str, Lanes] = {}
        self.lane_of: dict[int, Lane] = {}
        """The lane of each queued run, by the storage's id."""
        self._only_manual: Collection[str] = ()
        self._changed: dict[int, tuple[datetime, bool]] = {}
        self._read_at: datetime | None = None
        self._read_whole_at: datetime | None = None
        self.departed: dict[int, str] = {}
        """The code locations of runs that have left the queue. Whoever finds out what became of them clears it."""
        self.untagged: set[int] = set()
        """The runs whose tags don't name their code location, or whose rows are missing or doubled."""

    def refresh(self, connection: db.Connection, now: datetime, offered: Iterable[int] = ()) -> None:
        """Read which runs are queued, and look up those that are new or have changed.

        `now` is a moment before this reading, in UTC by the database's clock. The runs that were offered to the
        daemon have most likely left the queue.
        """
        if len(self.departed) > DEPARTED_KEPT:
            self.departed.clear()
        read_at, whole_at = self._read_at, self._read_whole_at
        self._only_manual, self._read_at = (), None  # if this reading fails, the next one reads everything
        if read_at is None or whole_at is None or now < read_at or now - whole_at >= WHOLE_READING_INTERVAL:
            recent = connection.execute(_changed_since(now - CLOCK_TOLERANCE)).all()
            self._changed = {storage_id: (at, False) for storage_id, at in recent}
            self._read_whole(connection)
            self._read_whole_at = now
        else:
            self._read_changes(connection, read_at - CLOCK_TOLERANCE, offered)
        self._read_at = now

    def _read_changes(self, connection: db.Connection, since: datetime, offered: Iterable[int]) -> None:
        changed: dict[int, datetime] = dict(connection.execute(_changed_since(since)).tuples().all())
        for chunk in in_chunks(storage_id for storage_id in offered if storage_id in self.lane_of):
            self._leave(set(chunk) - set(connection.execute(_queued_of(chunk)).scalars()))
        before, self._changed = self._changed, {}
        unknown = {storage_id for storage_id in changed if storage_id not in self.lane_of}
        for storage_id, at in changed.items():
            # Dagster changes a run first and its tags afterwards, so each change is looked up at two ticks.
            last_at, is_settled = before.get(storage_id, (None, False))
            if last_at != at or not is_settled:
                unknown.add(storage_id)
            self._changed[storage_id] = at, last_at == at
        new = {storage_id for storage_id in changed if before.get(storage_id, (None,))[0] != changed[storage_id]}
        self._look_up(connection, sorted(unknown), new)
        if connection.execute(_COUNT).scalar() != len(self.lane_of):
            queued = set(connection.execute(_IDS).scalars())
            self._leave(self.lane_of.keys() - queued)
            self._look_up(connection, sorted(queued - self.lane_of.keys()))

    def _read_whole(self, connection: db.Connection) -> None:
        found: dict[int, QueuedRow] = {}
        doubtful: list[int] = []
        query = _whole(connection, self._keys, with_jobs=bool(self._lane_key))
        for ids, job, tags, is_in_body in connection.execute(query).all():
            row = from_rows(job, [(key, value) for key, value in json.loads(tags or "[]")])
            storage_ids = json.loads(ids) if isinstance(ids, str) else ids
            if row and row.is_tagged and not is_in_body:
                found |= dict.fromkeys(storage_ids, row)
            else:
                doubtful += storage_ids
        found |= look_up(connection, sorted(doubtful), self._keys)
        before, self._lanes, self.lane_of, self.untagged = self.lane_of, {}, {}, set()
        for storage_id, row in sorted(found.items()):
            self._place(storage_id, row, before.get(storage_id))
        gone = before.keys() - found.keys()
        self.departed.update((storage_id, before[storage_id].code_location) for storage_id in gone)

    def _look_up(self, connection: db.Connection, storage_ids: Sequence[int], new: Container[int] = ()) -> None:
        """Look up runs. Those that were just changed are read again, too."""
        found = look_up(connection, storage_ids, self._keys)
        for storage_id in storage_ids:
            known = None if storage_id in new else self.lane_of.get(storage_id)
            self._remove(storage_id)
            if storage_id in found:
                self._place(storage_id, found[storage_id], known)

    def _place(self, storage_id: int, row: QueuedRow, known: Lane | None) -> None:
        """Put a run in its place. What its body said is taken over from the lane in which it was."""
        name = row.code_location or NO_CODE_LOCATION
        of = JobAndBackfill(row.job, row.tags.get(BACKFILL_ID_TAG))
        lane = self._lane_key(name, of) if name and self._lane_key else _ANY
        if self._limits.slot:
            lane = lane._replace(slots=slots_of(self._limits, name, row.tags))
        if known:
            lane = lane._replace(needs=known.of.needs, is_manual=known.of.is_manual)
            lane = lane._replace(slots=known.of.slots) if known.of.needs is not None else lane
        self._add(storage_id, name, priority_of(row.tags.get(PRIORITY_TAG)), lane)
        if name and not row.is_tagged:
            self.untagged.add(storage_id)

    @property
    def _keys(self) -> set[str]:
        """The keys of the tags to look up."""
        of_size = SIZE_TAGS if self._limits.slot else ()
        return {*NAMING_TAGS, PRIORITY_TAG, *((BACKFILL_ID_TAG,) if self._lane_key else ()), *of_size}

    def _leave(self, storage_ids: Iterable[int]) -> None:
        for storage_id in storage_ids:
            self.departed[storage_id] = self.lane_of[storage_id].code_location
            self._remove(storage_id)

    def __len__(self) -> int:
        return len(self.lane_of)

    def __contains__(self, storage_id: object) -> bool:
        return storage_id in self.lane_of

    def counts(self) -> dict[str, int]:
        """The number of queued runs of each code location that has any; `NO_CODE_LOCATION` can be among them."""
        return {name: runs for name in self._lanes if (runs := sum(len(lane.ids) for lane in self.lanes(name)))}

    def slots(self) -> dict[str, int] | None:
        """The slots that the queued runs of each code location take together; None if each takes one."""
        if not self._limits.slot:
            return None
        return {name: sum(len(lane.ids) * lane.of.slots for lane in self.lanes(name)) for name in self._lanes}

    def slots_of(self, storage_ids: Iterable[int]) -> int:
        """The slots that those of some runs take together that are queued."""
        return sum(self.lane_of[of].of.slots for of in storage_ids if of in self.lane_of)

    def get(self, storage_id: int) -> tuple[str, QueuedRun] | None:
        """A queued run and its code location, by the storage's id; None if it isn't queued, or is hidden."""
        lane = self.lane_of.get(storage_id)
        if lane is None or (lane.code_location in self._only_manual and not lane.of.is_manual):
            return None
        return lane.code_location, QueuedRun(lane.priority, storage_id, lane.of.slots)

    def oldest(self) -> dict[str, int]:
        """The oldest queued run of each code location that has any, by the storage's id."""
        first = {name: [lane.ids[0] for lane in self.lanes(name)] for name in self._lanes}
        return {name: min(ids) for name, ids in first.items() if ids}

    def code_locations(self) -> dict[int, str]:
        """The code location of each queued run, by the storage's id; `NO_CODE_LOCATION` can be among them."""
        return {storage_id: lane.code_location for storage_id, lane in self.lane_of.items()}

    def show_only_manual(self, code_locations: Collection[str]) -> None:
        """Hide all but the manually launched runs of some code locations until the next refresh."""
        self._only_manual = code_locations

    def in_order(
        self, code_location: str, after: QueuedRun | None = None, may_start: MayStart = lambda _of: True
    ) -> Iterator[QueuedRun]:
        """The queued runs of a code location in Dagster's order: by priority, then the oldest first.

        `may_start` is asked again for each run; a lane that may not start is dropped.
        """
        lanes = self._lanes.get(code_location, Lanes())
        if code_location in self._only_manual:
            return lanes.in_order(after, lambda of: bool(of.is_manual) and may_start(of))
        return lanes.in_order(after, may_start)

    def lanes(self, code_location: str) -> Iterator[Lane]:
        """The lanes of a code location."""
        only_manual = code_location in self._only_manual
        return (lane for lane in self._lanes.get(code_location, ()) if lane.of.is_manual or not only_manual)

    def learn(self, storage_id: int, **said: Any) -> None:
        """Move a run to the lane of those whose bodies said the same: parts of `JobAndBackfill`."""
        lane, is_untagged = self.lane_of[storage_id], storage_id in self.untagged
        self._remove(storage_id)
        self._add(storage_id, lane.code_location, lane.priority, lane.of._replace(**said))
        if is_untagged:
            self.untagged.add(storage_id)

    def relocate(self, code_locations: Mapping[int, str]) -> None:
        """Move runs to the code location that their bodies name, because their rows name another one."""
        for storage_id, code_location in code_locations.items():
            priority = self.lane_of[storage_id].priority
            self._remove(storage_id)
            self._add(storage_id, code_location, priority)
            self.untagged.add(storage_id)

    def _add(self, storage_id: int, code_location: str, priority: int, of: JobAndBackfill = _ANY) -> None:
        lanes = self._lanes.get(code_location)
        if lanes is None:
            lanes = self._lanes[code_location] = Lanes()
        self.lane_of[storage_id] = lanes.add(storage_id, code_location, priority, of)

    def _remove(self, storage_id: int) -> None:
        lane = self.lane_of.pop(storage_id, None)
        self.untagged.discard(storage_id)
        if lane:
            self._lanes[lane.code_location].remove(storage_id, lane)


def untagged_queued_runs(connection: db.Connection) -> dict[str, str]:
    """The code location of each queued run in `QueuedRuns.untagged`, by run id."""
    queued = QueuedRuns()
    queued.refresh(connection, datetime.now(timezone.utc))
    ids = run_ids(connection, sorted(queued.untagged))
    return {run_id: queued.lane_of[storage_id].code_location for storage_id, run_id in ids.items()}


_COUNT = db.select(db.func.count()).select_from(RunsTable).where(IS_QUEUED)
_IDS = db.select(RunsTable.c.id).where(IS_QUEUED)


def _changed_since(since: datetime) -> db.Select[tuple[int, datetime]]:
    # PostgreSQL takes the stored time, which has no time zone, for one of the session's; see `in_utc`.
    changed = RunsTable.c.update_timestamp
    return db.select(RunsTable.c.id, changed).where(IS_QUEUED, changed > since)


def _queued_of(storage_ids: Sequence[int]) -> db.Select[tuple[int]]:
    return db.select(RunsTable.c.id).where(RunsTable.c.id.in_(storage_ids), IS_QUEUED)


def _whole(connection: db.Connection, keys: Iterable[str], *, with_jobs: bool) -> db.Select[tuple[Any, ...]]:
    """The ids of all queued runs, grouped by their tags with these keys and, if it matters, their jobs.

    The tags of each run are looked up by themselves. A join would be planned by statistics, which a database that
    was restored doesn't have: then it would read the tags of the whole history.
    """
    key, value = RunTagsTable.c.key, RunTagsTable.c.value
    if connection.dialect.name == "postgresql":
        pairs = db.func.json_agg(aggregate_order_by(db.func.json_build_array(key, value), RunTagsTable.c.id))
        tags: db.ColumnElement[Any] = db.cast(pairs, db.Text)
        together: Any = db.func.array_agg
    else:
        tags, together = db.func.json_group_array(db.func.json_array(key, value)), db.func.json_group_array
    of_run = db.select(tags).where(has_key(RunTagsTable, sorted(keys))).correlate(RunsTable).scalar_subquery()
    job = RunsTable.c.pipeline_name if with_jobs else db.literal("")
    columns = (RunsTable.c.id, job.label("job"), of_run.label("tags"), body_has_label().label("in_body"))
    queued = db.select(*columns).where(IS_QUEUED).subquery()
    alike = (queued.c.job, queued.c.tags, queued.c.in_body)
    return db.select(together(queued.c.id), *alike).group_by(*alike)
