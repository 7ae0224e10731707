"""Reads the front of the queue, and a run's place in it, without the rest; for people who ask about one run.

The daemon's tick doesn't use this; see `queued_runs`. A priority is the text of a tag, which only Python reads as
Dagster does. So the database groups by the text, and it is converted here.

Looking up the tags of each queued run takes long with a long history, because they are spread over a large index.
On PostgreSQL a contiguous range of tags is read instead: no tag of a queued run is older than those of the oldest
queued runs. If the range has too few, the tags of each run are looked up after all.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    BACKFILL_ID_TAG,
    PRIORITY_TAG,
    REPOSITORY_LABEL_TAG,
    DagsterRunStatus,
    RunsTable,
    RunTagsTable,
)
from clt_queued_run_coordinator.queue.queued_run import JobAndBackfill, LaneKey, QueuedRun, priority_of
from clt_queued_run_coordinator.queue.queued_runs import QueuedRuns

OLDEST = 100
"""The range begins at the first tag of this many of the oldest queued runs ..."""

BEFORE_THEM = 10_000
"""... minus this many tags, because runs created at the same time write their tags in any order."""

TAGS_PER_RUN = 20
"""A range with more tags than this for each queued run isn't read, unless it has no more than `BEFORE_THEM`."""


_Place: TypeAlias = "db.Row[Any]"
"""A row: a run's `id`, `label`, `priority`, `job` and `backfill`, its `place` among the runs that share all of
these but the id, and the number of those `runs`."""


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
        self._counts: Counter[str] = Counter()
        self.is_read = False
        """Whether the first runs of each code location have been read."""

    def counts(self) -> dict[str, int]:
        """The number of queued runs of each code location, including those that weren't read."""
        return dict(self._counts)

    def read(self, connection: db.Connection, most: int) -> None:
        """Read the first runs of each code location, and count all of its runs.

        Args:
            connection: From `counts.reading`.
            most: The number of runs to read for each code location and priority, and for each job and backfill if
                they decide the lane.
        """
        rows: Sequence[_Place] = ()
        for since in self._stretches:
            rows = connection.execute(_first(since, most, (), apart=self._apart)).all()
            self._counts = Counter()
            for row in rows:
                self._counts[_code_location(row.label)] += row.runs if row.place == 1 else 0
            if self._counts.total() == self.total:
                break
        self._take(rows)
        if self._counts.total() != self.total:
            self._read_unlabelled(connection)
        self.is_read = True

    def read_more(self, connection: db.Connection, code_locations: Collection[str], most: int) -> None:
        """Read more of the first runs of some code locations.

        Args:
            connection: From `counts.reading`.
            code_locations: Their names.
            most: The number of runs to read for each code location and priority.
        """
        if code_locations:
            self._take(
                connection.execute(_first(self._stretches[0], most, code_locations, apart=self._apart)).all()
            )

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
            groups = connection.execute(_by_priority(since, code_location, run.id)).all()
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

    def _take(self, rows: Sequence[_Place]) -> None:
        for row in rows:
            if row.id not in self:  # a tag may have two rows
                name, of_run = _code_location(row.label), JobAndBackfill(row.job, row.backfill)
                of_line = self._lane_key(name, of_run) if self._lane_key else JobAndBackfill()
                self._add(row.id, name, priority_of(row.priority), of_line)

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


def _has(tags: db.FromClause, key: str, since: int | None) -> db.ColumnElement[bool]:
    of_the_run = tags.c.run_id == RunsTable.c.run_id
    if since is not None:
        return db.and_(of_the_run, tags.c.id >= since, tags.c.key == key)
    # Concatenating "" keeps SQLite from using its index on the keys, which would read the whole history.
    return db.and_(of_the_run, tags.c.key.concat("") == key)


def _labelled(since: int | None) -> tuple[db.FromClause, db.FromClause, db.FromClause]:
    label, priority = RunTagsTable.alias("label"), RunTagsTable.alias("priority")
    joined = RunsTable.join(label, _has(label, REPOSITORY_LABEL_TAG, since))
    return joined.outerjoin(priority, _has(priority, PRIORITY_TAG, since)), label, priority


def _is_of(label: db.FromClause, code_locations: Collection[str]) -> db.ColumnElement[bool]:
    """Whether a label may belong to one of the code locations. It may still belong to another one."""
    value = label.c.value.concat("")  # see _has
    return db.or_(*(value.endswith(f"@{name}", autoescape=True) for name in code_locations))


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
        .where(_IS_QUEUED, _is_of(label, [code_location]))
        .group_by(label.c.value, priority.c.value)
    )


def _first(
    since: int | None, most: int, code_locations: Collection[str], *, apart: bool
) -> db.Select[tuple[Any, ...]]:
    """The first runs of each label and priority, and of each job and backfill if these decide; see `_Place`."""
    joined, label, priority = _labelled(since)
    job: db.ColumnElement[Any] = db.null()
    of_backfill: db.ColumnElement[Any] = db.null()
    if apart:
        backfill = RunTagsTable.alias("backfill")
        joined = joined.outerjoin(backfill, _has(backfill, BACKFILL_ID_TAG, since))
        job, of_backfill = RunsTable.c.pipeline_name, backfill.c.value
    among = (label.c.value, priority.c.value, *((job, of_backfill) if apart else ()))
    queued = (
        db.select(
            RunsTable.c.id,
            label.c.value.label("label"),
            priority.c.value.label("priority"),
            job.label("job"),
            of_backfill.label("backfill"),
            db.func.row_number().over(partition_by=among, order_by=RunsTable.c.id).label("place"),
            db.func.count().over(partition_by=among).label("runs"),
        )
        .select_from(joined)
        .where(_IS_QUEUED, *([_is_of(label, code_locations)] if code_locations else []))
        .subquery()
    )
    return db.select(*queued.c).where(queued.c.place <= most).order_by(queued.c.id)


def _unlabelled() -> db.Select[tuple[int]]:
    label = RunTagsTable.alias("label")
    joined = RunsTable.outerjoin(label, _has(label, REPOSITORY_LABEL_TAG, None))
    return db.select(RunsTable.c.id).select_from(joined).where(_IS_QUEUED, label.c.value.is_(None))
