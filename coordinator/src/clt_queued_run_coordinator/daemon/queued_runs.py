"""The queued runs in Dagster's order, kept in the daemon's memory from tick to tick.

The order needs each run's code location and priority. Both are rows of `run_tags`, one row per tag. Reading them
for the whole queue at each tick would take longer the longer the queue is, and longer still with a long history.
So a tick reads which runs have changed since the last one, checks on the runs that were offered, and counts the
queued runs. Only if the count is unexpected, and at regular intervals anyway, does it read the ids of all queued
runs. It looks up the tags of runs that are new or have changed.

Where jobs or backfills are limited, the runs of each one wait in a lane of their own; see `lanes`.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    BACKFILL_ID_TAG,
    PRIORITY_TAG,
    REPOSITORY_LABEL_TAG,
    DagsterRunStatus,
    RunsTable,
    RunTagsTable,
)
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY
from clt_queued_run_coordinator.policy.lanes import Lane, Lanes
from clt_queued_run_coordinator.policy.queued_run import (
    NO_CODE_LOCATION,
    JobAndBackfill,
    LaneKey,
    MayStart,
    QueuedRun,
    priority_of,
)
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.code_location import code_location_of
from clt_queued_run_coordinator.store.rows import ROWS_PER_STATEMENT, in_chunks, load_runs, run_ids

CLOCK_TOLERANCE = timedelta(seconds=15)
"""How far apart the clocks of those that queue and change runs may be for a change to be seen at the next tick."""

FULL_READ_INTERVAL = timedelta(seconds=60)
"""How often the ids of all queued runs are read, even if the count is as expected."""

RECHECKED_PER_TICK = 20
"""The number of known runs whose tags are looked up again at each tick, in turn. So a change that Dagster knows
nothing of, such as an SQL statement by hand, is seen sooner or later."""

DEPARTED_KEPT = 100_000
"""The most departed runs that are kept until somebody asks for them. Beyond that they are dropped."""

_ANY = JobAndBackfill()


class QueuedRuns:
    """The queue of an instance; empty until it is first refreshed.

    Args:
        lane_key: Tells the lanes of a code location apart; None if it has only one.
    """

    def __init__(self, lane_key: LaneKey | None = None) -> None:
        self._lane_key = lane_key
        self._lanes: dict[str, dict[int, Lanes]] = {}
        self._runs_of: Counter[str] = Counter()
        self._lane_of: dict[int, Lane] = {}
        self._only: Mapping[str, Sequence[QueuedRun]] = {}
        self._changed: dict[int, datetime] = {}
        self._settled: dict[int, datetime] = {}
        self._read_at: datetime | None = None
        self._read_fully_at: datetime | None = None
        self._numbers: list[int] = []
        self._rechecked = 0
        self.departed: dict[int, str] = {}
        """The code locations of runs that have left the queue. Whoever finds out what became of them clears it."""
        self.untagged: set[int] = set()
        """The runs that lack a row for their code location's tag, have a wrong one, or have more than one."""

    def refresh(self, connection: db.Connection, at: datetime, offered: Iterable[int] = ()) -> None:
        """Read which runs are queued, and look up those that are new or have changed since the last reading.

        Args:
            connection: To the instance's run database.
            at: The database's clock before this reading, in UTC; see `LiveChanges.read_at`.
            offered: The runs that were offered to the daemon, and have most likely left the queue.
        """
        self._only = {}
        if len(self.departed) > DEPARTED_KEPT:
            self.departed.clear()
        # The moment of the last reading counts, and not the newest change that it saw: ticks may be minutes apart.
        since = min(at, self._read_at or at).replace(tzinfo=None) - CLOCK_TOLERANCE
        changed = self._read_changes(connection, since, offered) if self._knows_all(at) else None
        if changed is None:
            changed = self._read_fully(connection, since)
            self._read_fully_at = at
        # Dagster changes a run first and its tags afterwards, so each change is looked up at two ticks.
        unknown = {storage_id for storage_id, when in changed.items() if self._settled.get(storage_id) != when}
        unknown.update(storage_id for storage_id in self._next_to_recheck() if storage_id in self._lane_of)
        new = {storage_id for storage_id, when in changed.items() if self._changed.get(storage_id) != when}
        self._look_up(connection, sorted(unknown), new)
        self._settled = {
            storage_id: when for storage_id, when in changed.items() if self._changed.get(storage_id) == when
        }
        self._changed, self._read_at = changed, at

    def _knows_all(self, at: datetime) -> bool:
        """Whether to read only what has changed; not if the database's clock went back."""
        fully, last = self._read_fully_at, self._read_at
        return fully is not None and last is not None and last <= at < fully + FULL_READ_INTERVAL

    def _read_changes(
        self, connection: db.Connection, since: datetime, offered: Iterable[int]
    ) -> dict[int, datetime] | None:
        """The runs that have changed, with the time of the change; None if others came or went as well."""
        changed = dict(map(tuple, connection.execute(_changed_since(since)).all()))
        asked = [storage_id for storage_id in offered if storage_id in self._lane_of]
        for chunk in in_chunks(asked):
            self._leave(set(chunk) - set(connection.execute(_queued_of(chunk)).scalars()))
        new = sum(storage_id not in self._lane_of for storage_id in changed)
        return changed if connection.execute(_COUNT).scalar() == len(self._lane_of) + new else None

    def _read_fully(self, connection: db.Connection, since: datetime) -> dict[int, datetime]:
        """Read the ids of all queued runs and look up unknown ones; returns the known runs that have changed."""
        self._numbers = []
        changed: dict[int, datetime] = {}
        for rows in connection.execute(_queued_ids(since)).partitions(ROWS_PER_STATEMENT):
            self._numbers += [storage_id for storage_id, _ in rows]
            changed.update((storage_id, when) for storage_id, when in rows if when is not None)
        self._leave(self._lane_of.keys() - set(self._numbers))
        unknown = [storage_id for storage_id in self._numbers if storage_id not in self._lane_of]
        self._look_up(connection, unknown)
        # What was looked up just now needs no second look at this tick, but one at the next.
        for storage_id in changed.keys() & set(unknown):
            self._settled[storage_id] = changed[storage_id]
        return changed

    def _leave(self, run_ids: Iterable[int]) -> None:
        for run_id in run_ids:
            code_location = self._lane_of[run_id].code_location
            self.departed[run_id] = code_location
            self._remove(run_id)

    def _next_to_recheck(self) -> Sequence[int]:
        start = bisect_right(self._numbers, self._rechecked)
        in_turn = self._numbers[start : start + RECHECKED_PER_TICK]
        self._rechecked = in_turn[-1] if in_turn else 0
        return in_turn

    def __len__(self) -> int:
        return len(self._lane_of)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._lane_of

    def counts(self) -> dict[str, int]:
        """The number of queued runs of each code location that has any; `NO_CODE_LOCATION` can be among them."""
        return dict(self._runs_of)

    def show_only(self, only: Mapping[str, Sequence[QueuedRun]]) -> None:
        """Hide the other runs of some code locations from `in_order` until the next refresh.

        Args:
            only: The runs that stay, in Dagster's order, by code location.
        """
        self._only = only

    def code_location(self, run_id: int) -> str:
        """The code location of a queued run."""
        return self._lane_of[run_id].code_location

    def job_and_backfill(self, run_id: int) -> JobAndBackfill:
        """The job and backfill of a queued run, as far as they decide its lane."""
        return self._lane_of[run_id].of

    def in_order(
        self, code_location: str, after: QueuedRun | None = None, may_start: MayStart | None = None
    ) -> Iterator[QueuedRun]:
        """The queued runs of a code location in Dagster's order: by priority, then the oldest first.

        Args:
            code_location: Its name.
            after: Only runs that come after this one.
            may_start: Which lanes may start. It is asked again for each run; a lane that may not start is dropped.
        """
        if code_location in self._only:
            for run in self._only[code_location]:
                is_behind = after is None or run.place > after.place
                if is_behind and (may_start is None or may_start(self._lane_of[run.storage_id].of)):
                    yield run
            return
        lanes = self._lanes.get(code_location, {})
        for priority in sorted(lanes, reverse=True):
            if after and priority > after.priority:
                continue
            behind = after.storage_id if after and priority == after.priority else 0
            for run_id in lanes[priority].in_order(behind, may_start):
                yield QueuedRun(priority, run_id)

    def lanes(self, code_location: str) -> Iterator[Lane]:
        """The lanes of a code location."""
        for lanes in self._lanes.get(code_location, {}).values():
            yield from lanes

    def learn(self, needs: Mapping[int, Hashable]) -> None:
        """Move runs to the lanes of those that need the same, once their bodies have been read.

        Args:
            needs: What each of the runs needs of tag limits and pools.
        """
        for run_id, needed in needs.items():
            lane = self._lane_of[run_id]
            untagged = run_id in self.untagged
            self._remove(run_id)
            self._add(run_id, lane.code_location, lane.priority, lane.of._replace(needs=needed))
            if untagged:
                self.untagged.add(run_id)

    def relocate(self, code_locations: Mapping[int, str]) -> None:
        """Move runs to the code location that their bodies name, because their rows name another one."""
        for run_id, code_location in code_locations.items():
            priority = self._lane_of[run_id].priority
            self._remove(run_id)
            self._add(run_id, code_location, priority)
            self.untagged.add(run_id)

    def _add(self, run_id: int, code_location: str, priority: int, of: JobAndBackfill = _ANY) -> None:
        by_priority = self._lanes.setdefault(code_location, {})
        lanes = by_priority.get(priority)
        if lanes is None:
            lanes = by_priority[priority] = Lanes()
        self._lane_of[run_id] = lanes.add(run_id, code_location, priority, of)
        self._runs_of[code_location] += 1

    def _remove(self, run_id: int) -> None:
        lane = self._lane_of.pop(run_id, None)
        self.untagged.discard(run_id)
        if lane is None:
            return
        name = lane.code_location
        lanes = self._lanes[name][lane.priority]
        lanes.remove(run_id, lane)
        self._runs_of[name] -= 1
        if not lanes:
            del self._lanes[name][lane.priority]
            if not self._lanes[name]:
                del self._lanes[name], self._runs_of[name]

    def _look_up(self, connection: db.Connection, run_ids: Sequence[int], new: Container[int] = ()) -> None:
        """Look up the rows of runs. Those that are new or were just changed have to be read again, too."""
        for chunk in in_chunks(run_ids):
            jobs = self._jobs(connection, chunk)
            tags: dict[int, list[tuple[str, str]]] = {}
            for run_id, key, value in connection.execute(_tags_of(chunk, self._tags)).all():
                tags.setdefault(run_id, []).append((key, value))
            origins = _origins(connection, [run_id for run_id, of_run in tags.items() if not _label(of_run)])
            for run_id, of_run in sorted(tags.items()):
                before = self._lane_of.get(run_id)
                needs = before.of.needs if before and run_id not in new else None
                self._remove(run_id)
                carried = [value for key, value in of_run if key == CLT_TAG_KEY]
                label = _label(of_run)
                name = label.partition("@")[2] if label else origins.get(run_id)
                of = JobAndBackfill(jobs.get(run_id), _value(of_run, BACKFILL_ID_TAG))
                lane = self._lane_key(name, of) if name and self._lane_key else _ANY
                lane = lane._replace(needs=needs)
                self._add(run_id, name or NO_CODE_LOCATION, priority_of(_value(of_run, PRIORITY_TAG)), lane)
                if name and carried != [name]:
                    self.untagged.add(run_id)

    @property
    def _tags(self) -> Sequence[str]:
        """The keys of the tags to look up."""
        keys = (CLT_TAG_KEY, REPOSITORY_LABEL_TAG, PRIORITY_TAG)
        return (*keys, BACKFILL_ID_TAG) if self._lane_key else keys

    def _jobs(self, connection: db.Connection, run_ids: Sequence[int]) -> dict[int, str]:
        """The jobs of runs, if jobs decide their lanes."""
        if not self._lane_key:
            return {}
        query = db.select(RunsTable.c.id, RunsTable.c.pipeline_name).where(RunsTable.c.id.in_(run_ids))
        return {run_id: job for run_id, job in connection.execute(query).all()}  # noqa: C416 - as above


def untagged_queued_runs(connection: db.Connection) -> dict[str, str]:
    """The code location of each queued run in `QueuedRuns.untagged`, by run id.

    Args:
        connection: To the instance's run database.
    """
    queued = QueuedRuns()
    queued.refresh(connection, live.read(connection).read_at)
    ids = run_ids(connection, sorted(queued.untagged))
    return {run_id: queued.code_location(number) for number, run_id in ids.items()}


_IS_QUEUED = RunsTable.c.status == DagsterRunStatus.QUEUED.value
_COUNT = db.select(db.func.count()).select_from(RunsTable).where(_IS_QUEUED)


def _queued_ids(since: datetime) -> db.Select[tuple[int, datetime | None]]:
    """The id of each queued run, and when it last changed if that was recently."""
    changed = RunsTable.c.update_timestamp
    return (
        db.select(RunsTable.c.id, db.case((changed > since, changed), else_=None))
        .where(_IS_QUEUED)
        .order_by(RunsTable.c.id)
    )


def _changed_since(since: datetime) -> db.Select[tuple[int, datetime]]:
    changed = RunsTable.c.update_timestamp
    return db.select(RunsTable.c.id, changed).where(_IS_QUEUED, changed > since)


def _queued_of(run_ids: Sequence[int]) -> db.Select[tuple[int]]:
    return db.select(RunsTable.c.id).where(RunsTable.c.id.in_(run_ids), _IS_QUEUED)


def _tags_of(run_ids: Sequence[int], keys: Sequence[str]) -> db.Select[tuple[int, str, str]]:
    """The tags of runs with these keys; one row with nulls for a run that has none of them."""
    # Concatenating "" keeps SQLite from using its index on the keys, which would read the whole history.
    key = RunTagsTable.c.key.concat("")
    return (
        db.select(RunsTable.c.id, RunTagsTable.c.key, RunTagsTable.c.value)
        .select_from(
            RunsTable.outerjoin(RunTagsTable, db.and_(RunTagsTable.c.run_id == RunsTable.c.run_id, key.in_(keys)))
        )
        .where(RunsTable.c.id.in_(run_ids))
        .order_by(RunTagsTable.c.id)
    )


def _label(tags: Iterable[tuple[str, str]]) -> str | None:
    """`repository@code location`, which Dagster writes from the run's origin when it creates the run."""
    return _value(tags, REPOSITORY_LABEL_TAG)


def _value(tags: Iterable[tuple[str, str]], key: str) -> str | None:
    return next((value for of_tag, value in tags if of_tag == key), None)


def _origins(connection: db.Connection, run_ids: Sequence[int]) -> dict[int, str]:
    """The code locations of runs without a label, if their bodies name one."""
    return {
        run_id: name
        for run_id, run in load_runs(connection, run_ids).items()
        if (name := code_location_of(run)) is not None
    }
