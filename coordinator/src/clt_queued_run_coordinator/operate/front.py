"""Reads the front of the queue, and a run's place in it, for people who ask about one run.

The daemon's tick doesn't use this; see `queued_runs`. A priority is the text of a tag, which only Python reads as
Dagster does. So the database groups by the text, and it is converted here.

Looking up the tags of each queued run takes long with a long history, because they are spread over a large index.
On PostgreSQL a contiguous range of tags is read instead: no tag of a queued run is older than those of the oldest
queued runs. If the range has too few, the tags of each run are looked up after all.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    BACKFILL_ID_TAG,
    PRIORITY_TAG,
    REPOSITORY_LABEL_TAG,
    DagsterRunStatus,
    RunsTable,
    RunTagsTable,
)
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.policy.queued_run import JobAndBackfill, LaneKey, QueuedRun, priority_of

OLDEST = 100
"""The range begins at the first tag of this many of the oldest queued runs ..."""

BEFORE_THEM = 10_000
"""... minus this many tags, because runs created at the same time write their tags in any order."""

TAGS_PER_RUN = 20
"""A range with more tags than this for each queued run isn't read, unless it has no more than `BEFORE_THEM`."""


@dataclass(frozen=True)
class _Group:
    """Queued runs that go before and after each other by their age alone.

    Attributes:
        code_location: Theirs.
        priority: Theirs.
        of: Their job and backfill, if these decide the lane.
        ids: Their ids, the oldest first.
    """

    code_location: str
    priority: int
    of: JobAndBackfill
    ids: Sequence[int]


class FrontOfQueue(QueuedRuns):
    """The first queued runs of each code location, the number of its queued runs, and the place of any run.

    Args:
        connection: From `counts.reading`; it is used only by the constructor.
        lane_key: Tells the lanes of a code location apart; None if it has only one.
    """

    def __init__(self, connection: db.Connection, lane_key: LaneKey | None = None) -> None:
        super().__init__(lane_key)
        self.total = connection.execute(_NUMBER).scalar_one()
        """The number of queued runs of all code locations."""
        self._stretches = _stretches(connection, self.total)
        self._groups: Sequence[_Group] = ()
        self._counts: Counter[str] = Counter()
        self.is_read = False
        """Whether the first runs of each code location have been read."""

    def counts(self) -> dict[str, int]:
        """The number of queued runs of each code location, including those that weren't taken."""
        return dict(self._counts)

    def read(self, connection: db.Connection, most: int) -> None:
        """Read the ids of all queued runs, count them, and take the first ones of each code location.

        Args:
            connection: From `counts.reading`.
            most: The number of runs to take for each code location and priority, and for each job and backfill if
                they decide the lane.
        """
        for since in self._stretches:
            self._groups = [
                _group(row) for row in connection.execute(_grouped(connection, since, apart=self._apart))
            ]
            self._counts = Counter()
            for group in self._groups:
                self._counts[group.code_location] += len(group.ids)
            if self._counts.total() == self.total:
                break
        self._take(self._groups, most)
        if self._counts.total() != self.total:
            self._read_unlabelled(connection)
        self.is_read = True

    def take_more(self, code_locations: Collection[str], most: int) -> None:
        """Take more of the first runs of some code locations, which have been read already.

        Args:
            code_locations: Their names.
            most: The number of runs to take for each code location and priority.
        """
        self._take((group for group in self._groups if group.code_location in code_locations), most)

    def place(self, connection: db.Connection, code_location: str, run: QueuedRun) -> tuple[int, int, QueuedRun]:
        """A run's place in Dagster's order, which is by priority, then age.

        Args:
            connection: From `counts.reading`.
            code_location: The run's code location.
            run: The run.

        Returns:
            The number of queued runs of its code location that go before it, the number of all of them, and the
            first one.
        """
        before, runs, first = 0, 0, run
        for since in self._stretches:
            before, runs, first, found = 0, 0, run, False
            groups = connection.execute(_by_priority(since, code_location, run.storage_id)).all()
            for label, text, number, older, oldest, itself in groups:
                if _code_location(label) == code_location:
                    priority = priority_of(text)
                    runs += number
                    found = found or bool(itself)
                    before += number if priority > run.priority else older if priority == run.priority else 0
                    first = min(first, QueuedRun(priority, oldest), key=lambda queued: queued.place)
            if found:
                return before, runs, first
        self._read_unlabelled(connection)
        for other in self.in_order(code_location):
            runs += 1
            before += other.place < run.place
            first = min(first, other, key=lambda queued: queued.place)
        return before, runs, first

    def _take(self, groups: Iterable[_Group], most: int) -> None:
        first = ((run_id, group) for group in groups for run_id in group.ids[:most])
        for run_id, group in sorted(first, key=lambda pair: pair[0]):
            if run_id not in self:  # a tag may have two rows
                lane = self._lane_key(group.code_location, group.of) if self._lane_key else JobAndBackfill()
                self._add(run_id, group.code_location, group.priority, lane)

    @property
    def _apart(self) -> bool:
        return self._lane_key is not None

    def _read_unlabelled(self, connection: db.Connection) -> None:
        run_ids = connection.execute(_unlabelled()).scalars().all()
        self._look_up(connection, run_ids)
        self._counts.update(self.code_location(run_id) for run_id in run_ids if run_id in self)


def priority_in(connection: db.Connection, run_id: str) -> int:
    """The priority of a run according to its rows, which the daemon's order goes by.

    Args:
        connection: To the instance's run database.
        run_id: The run's id.
    """
    rows = RunTagsTable.c.run_id == run_id, RunTagsTable.c.key.concat("") == PRIORITY_TAG
    query = db.select(RunTagsTable.c.value).where(*rows).order_by(RunTagsTable.c.id)
    return priority_of(connection.execute(query).scalars().first())


_IS_QUEUED = RunsTable.c.status == DagsterRunStatus.QUEUED.value


_NUMBER = db.select(db.func.count()).select_from(RunsTable).where(_IS_QUEUED)


def _stretches(connection: db.Connection, queued: int) -> list[int | None]:
    """Where the ranges of tags to try begin: the contiguous range if worthwhile, then None for each run's tags."""
    if connection.dialect.name == "postgresql":
        # Adding 0 keeps PostgreSQL from using the index on the ids, which would read the whole history.
        oldest = db.select(RunsTable.c.run_id).where(_IS_QUEUED).order_by(RunsTable.c.id + 0).limit(OLDEST)
        first = (
            db.select(db.func.min(RunTagsTable.c.id)).where(RunTagsTable.c.run_id.in_(oldest)).scalar_subquery()
        )
        last = db.select(db.func.max(RunTagsTable.c.id)).scalar_subquery()
        since, until = connection.execute(db.select(first, last)).one()
        if since is not None and until - since <= TAGS_PER_RUN * queued + BEFORE_THEM:
            return [since - BEFORE_THEM, None]
    return [None]


def _code_location(label: str) -> str:
    return label.partition("@")[2]


def _has(
    tags: db.FromClause, key: str, since: int | None, runs: db.FromClause = RunsTable
) -> db.ColumnElement[bool]:
    of_the_run = tags.c.run_id == runs.c.run_id
    if since is not None:
        return db.and_(of_the_run, tags.c.id >= since, tags.c.key == key)
    # Concatenating "" keeps SQLite from using its index on the keys, which would read the whole history.
    return db.and_(of_the_run, tags.c.key.concat("") == key)


def _labelled(
    since: int | None, runs: db.FromClause = RunsTable
) -> tuple[db.FromClause, db.FromClause, db.FromClause]:
    label, priority = RunTagsTable.alias("label"), RunTagsTable.alias("priority")
    joined = runs.join(label, _has(label, REPOSITORY_LABEL_TAG, since, runs))
    return joined.outerjoin(priority, _has(priority, PRIORITY_TAG, since, runs)), label, priority


def _may_be_of(label: db.FromClause, code_location: str) -> db.ColumnElement[bool]:
    """Whether a label may belong to a code location. It may still belong to another one."""
    value = label.c.value.concat("")  # see _has
    return value.endswith(f"@{code_location}", autoescape=True)


def _by_priority(
    since: int | None, code_location: str, run_id: int
) -> db.Select[tuple[str, str | None, int, int, int, int]]:
    joined, label, priority = _labelled(since)
    number = RunsTable.c.id
    return (
        db.select(
            label.c.value,
            priority.c.value,
            db.func.count(),
            db.func.sum(db.case((number < run_id, 1), else_=0)),
            db.func.min(number),
            db.func.sum(db.case((number == run_id, 1), else_=0)),
        )
        .select_from(joined)
        .where(_IS_QUEUED, _may_be_of(label, code_location))
        .group_by(label.c.value, priority.c.value)
    )


def _grouped(connection: db.Connection, since: int | None, *, apart: bool) -> db.Select[tuple[Any, ...]]:
    """The ids of the queued runs by label and priority, and by job and backfill if these decide the lane."""
    # PostgreSQL expects few runs to match, and would look them up one by one. This way it reads them together.
    columns = db.select(RunsTable.c.id, RunsTable.c.run_id, RunsTable.c.pipeline_name).where(_IS_QUEUED)
    queued = columns.cte("queued").prefix_with("MATERIALIZED", dialect="postgresql")
    joined, label, priority = _labelled(since, queued)
    among: list[db.ColumnElement[Any]] = [label.c.value, priority.c.value]
    if apart:
        backfill = RunTagsTable.alias("backfill")
        joined = joined.outerjoin(backfill, _has(backfill, BACKFILL_ID_TAG, since, queued))
        among += [queued.c.pipeline_name, backfill.c.value]
    is_postgresql = connection.dialect.name == "postgresql"
    ids = (db.func.array_agg if is_postgresql else db.func.json_group_array)(queued.c.id)
    return db.select(ids, *among).select_from(joined).group_by(*among)


def _group(row: "db.Row[Any]") -> _Group:
    ids, label, priority, *of = row
    in_order = sorted(set(json.loads(ids) if isinstance(ids, str) else ids))
    return _Group(_code_location(label), priority_of(priority), JobAndBackfill(*of), in_order)


def _unlabelled() -> db.Select[tuple[int]]:
    label = RunTagsTable.alias("label")
    joined = RunsTable.outerjoin(label, _has(label, REPOSITORY_LABEL_TAG, None))
    return db.select(RunsTable.c.id).select_from(joined).where(_IS_QUEUED, label.c.value.is_(None))
