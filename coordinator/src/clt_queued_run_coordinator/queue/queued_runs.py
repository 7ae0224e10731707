"""The queued runs in Dagster's order, which the daemon keeps in memory from tick to tick.

The order needs each run's code location and priority, and these lie in `run_tags`, one row a tag. To read them
of the whole queue at each tick would take longer the longer the queue is, and with a long history of runs longer
still. So a tick reads which runs were changed lately, asks after those that were offered, and counts: only where
the number isn't what it should be, and now and then in any case, it reads which runs are queued. It looks up the
tags of runs that are new or were changed.

Where jobs or backfills of a code location are limited, the runs of each lie in a line of their own, so that those
of one that is at its limit are passed over at once, however many they are.
"""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TypeVar

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    BACKFILL_ID_TAG,
    PRIORITY_TAG,
    REPOSITORY_LABEL_TAG,
    DagsterRun,
    DagsterRunStatus,
    RunsTable,
    RunTagsTable,
    deserialize_value,
)
from clt_queued_run_coordinator.queue.queued_run import (
    TAGS_OF_AUTOMATIC_RUNS,
    JobAndBackfill,
    QueuedRun,
    is_automatic,
)
from clt_queued_run_coordinator.tagging.code_location_tag import CLT_TAG_KEY, code_location_of

NO_CODE_LOCATION = ""
"""Stands for the code location of a run that does not tell where it comes from; no limit of ours holds for it."""

CLOCKS_APART = timedelta(seconds=15)
"""How far the clocks of those who queue and change runs may be apart, for a change to be seen at the next tick."""

WHOLE_READING = timedelta(seconds=60)
"""How often the numbers of all queued runs are read, whatever their count says."""

LOOKED_UP_ANEW = 20
"""How many known runs are looked up anew at each tick, one after the other, so that a change behind Dagster's
back is seen sooner or later."""

GONE_AT_MOST = 100_000
"""How many runs that have left the queue are kept for who asks after them; where nobody does, none are missed."""

ROWS_A_STATEMENT = 500


KeepApart = Callable[[str, JobAndBackfill], JobAndBackfill]
"""What tells the lines of a code location apart, from its name and what a run belongs to."""

MayStart = Callable[[JobAndBackfill], bool]
"""Whether runs of a line may start."""

_ANY = JobAndBackfill()


@dataclass(slots=True)
class _Line:
    """The queued runs of one code location with one priority, and of one job and backfill; oldest first."""

    code_location: str
    priority: int
    of: JobAndBackfill
    ids: list[int] = field(default_factory=list)

    @property
    def first(self) -> int:
        return self.ids[0]


class _Lines:
    """The lines of one code location with one priority, none of them empty."""

    def __init__(self) -> None:
        self._by_what: dict[JobAndBackfill, _Line] = {}
        self._by_first: list[_Line] = []

    def __bool__(self) -> bool:
        return bool(self._by_first)

    def add(self, run_id: int, code_location: str, priority: int, of: JobAndBackfill) -> _Line:
        """Put a run into its line."""
        line = self._by_what.get(of)
        if line is None:
            line = self._by_what[of] = _Line(code_location, priority, of, [run_id])
            self._put(line)
        elif run_id > line.ids[-1]:
            line.ids.append(run_id)
        elif run_id < line.first:
            self._take(line)
            line.ids.insert(0, run_id)
            self._put(line)
        else:
            insort(line.ids, run_id)
        return line

    def remove(self, run_id: int, line: _Line) -> None:
        """Take a run out of its line."""
        if run_id != line.first:
            del line.ids[bisect_left(line.ids, run_id)]
            return
        self._take(line)
        del line.ids[0]
        if line.ids:
            self._put(line)
        else:
            del self._by_what[line.of]

    def _put(self, line: _Line) -> None:
        insort(self._by_first, line, key=_first)

    def _take(self, line: _Line) -> None:
        del self._by_first[bisect_left(self._by_first, line.first, key=_first)]

    def count(self, may_start: MayStart) -> int:
        """How many runs there are in the lines that may start."""
        return sum(len(line.ids) for line in self._by_first if may_start(line.of))

    def in_order(self, after: int, may_start: MayStart | None) -> Iterator[int]:
        """The runs behind one, oldest first, of those lines that may start.

        A line that may not start is left, and not looked at again. A line that begins behind what is asked for
        isn't looked at either.
        """
        if len(self._by_first) == 1 and may_start is None:
            (line,) = self._by_first
            yield from islice(line.ids, bisect_right(line.ids, after), None)
            return
        lines = iter(self._by_first)
        coming = next(lines, None)
        merged: list[tuple[int, int, _Line]] = []
        while coming or merged:
            while coming and (not merged or coming.first < merged[0][0]):
                place = bisect_right(coming.ids, after)
                if place < len(coming.ids) and (may_start is None or may_start(coming.of)):
                    heapq.heappush(merged, (coming.ids[place], place, coming))
                coming = next(lines, None)
            if not merged:
                return
            run_id, place, line = merged[0]
            if may_start is None or may_start(line.of):
                yield run_id
                if place + 1 < len(line.ids):
                    heapq.heapreplace(merged, (line.ids[place + 1], place + 1, line))
                    continue
            heapq.heappop(merged)


def _first(line: _Line) -> int:
    return line.first


class QueuedRuns:
    """The queue of an instance, empty until it is brought up to date.

    Args:
        keep_apart: What tells the lines of a code location apart; None where nothing does.
    """

    def __init__(self, keep_apart: KeepApart | None = None) -> None:
        self._keep_apart = keep_apart
        self._lines: dict[str, dict[int, _Lines]] = {}
        self._runs_of: Counter[str] = Counter()
        self._line_of: dict[int, _Line] = {}
        self._changed: dict[int, datetime] = {}
        self._settled: dict[int, datetime] = {}
        self._newest: datetime | None = None
        self._newest_since: datetime | None = None
        self._read_whole_at: datetime | None = None
        self._numbers: list[int] = []
        self._looked_up_anew = 0
        self.left: Counter[str] = Counter()
        """How many runs of each code location had left the queue at the last reading."""
        self.gone: dict[int, str] = {}
        """The code locations of runs that have left the queue; whoever asks what became of them empties it."""
        self.not_tagged: set[int] = set()
        """The runs whose rows don't carry just the one tag that they should."""

    def bring_up_to_date(
        self, connection: db.Connection, offered: Iterable[int] = (), now: datetime | None = None
    ) -> None:
        """Read which runs are queued, and look up those that are new or were changed.

        Args:
            connection: To the instance's run database.
            offered: The runs that have most likely left the queue.
            now: The daemon's clock, in UTC.
        """
        now = now or datetime.now(timezone.utc)
        self.left = Counter()
        if len(self.gone) > GONE_AT_MOST:
            self.gone.clear()
        changed = self._read_changes(connection, offered, now) if self._knows_all(now) else None
        if changed is None:
            changed = self._read_whole(connection, now)
        # Dagster changes a run first and its tags afterwards, so a change is looked up at two ticks.
        unknown = {run_id for run_id, at in changed.items() if self._settled.get(run_id) != at}
        unknown.update(run_id for run_id in self._numbers_in_turn() if run_id in self._line_of)
        self._look_up(connection, sorted(unknown))
        self._settled = {run_id: at for run_id, at in changed.items() if self._changed.get(run_id) == at}
        self._changed = changed
        newest = max((at for at in (self._newest, *changed.values()) if at), default=None)
        if newest != self._newest:
            self._newest, self._newest_since = newest, now

    def _knows_all(self, now: datetime) -> bool:
        read = self._read_whole_at
        return read is not None and self._newest is not None and timedelta(0) <= now - read < WHOLE_READING

    def _read_changes(
        self, connection: db.Connection, offered: Iterable[int], now: datetime
    ) -> dict[int, datetime] | None:
        """The runs that were changed lately, with when; None where others have come or gone as well."""
        assert self._newest is not None  # noqa: S101 - see _knows_all
        # By the writers' clocks, which are the database's or their own, in whatever time zone it keeps.
        passed = max(timedelta(0), now - (self._newest_since or now))
        rows = connection.execute(_changed_since(self._newest - CLOCKS_APART + passed)).all()
        changed: dict[int, datetime] = {run_id: at for run_id, at in rows}  # noqa: C416 - rows are no pairs to mypy
        asked = [run_id for run_id in offered if run_id in self._line_of]
        for chunk in in_chunks(asked):
            self._leave(set(chunk) - set(connection.execute(_queued_of(chunk)).scalars()))
        new = sum(run_id not in self._line_of for run_id in changed)
        return changed if connection.execute(_COUNT).scalar() == len(self._line_of) + new else None

    def _read_whole(self, connection: db.Connection, now: datetime) -> dict[int, datetime]:
        """Which runs are queued; returns those that were changed lately, with when, and looks up unknown ones."""
        newest = connection.execute(_NEWEST).scalar()
        if newest != self._newest:
            self._newest, self._newest_since = newest, now
        query = _queued_ids(self._newest - CLOCKS_APART if self._newest else None)
        self._numbers = []
        changed: dict[int, datetime] = {}
        for rows in connection.execute(query).partitions(ROWS_A_STATEMENT):
            self._numbers += [run_id for run_id, _ in rows]
            changed.update((run_id, at) for run_id, at in rows if at is not None)
        self._leave(self._line_of.keys() - set(self._numbers))
        self._look_up(connection, [run_id for run_id in self._numbers if run_id not in self._line_of])
        self._read_whole_at = now
        return changed

    def _leave(self, run_ids: Iterable[int]) -> None:
        for run_id in run_ids:
            code_location = self._line_of[run_id].code_location
            self.left[code_location] += 1
            self.gone[run_id] = code_location
            self._remove(run_id)

    def _numbers_in_turn(self) -> Sequence[int]:
        start = bisect_right(self._numbers, self._looked_up_anew)
        in_turn = self._numbers[start : start + LOOKED_UP_ANEW]
        self._looked_up_anew = in_turn[-1] if in_turn else 0
        return in_turn

    def __len__(self) -> int:
        return len(self._line_of)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._line_of

    @property
    def newest(self) -> datetime | None:
        """When the run that was changed last was changed, as the database has it; None while none was seen."""
        return self._newest

    def counts(self) -> dict[str, int]:
        """How many runs are queued of each code location that has any, `NO_CODE_LOCATION` among them."""
        return dict(self._runs_of)

    def count(self, code_location: str, may_start: MayStart) -> int:
        """How many runs are queued of a code location in the lines that may start."""
        by_priority = self._lines.get(code_location, {})
        return sum(lines.count(may_start) for lines in by_priority.values())

    def code_location(self, run_id: int) -> str:
        """The code location of a queued run."""
        return self._line_of[run_id].code_location

    def belongs_to(self, run_id: int) -> JobAndBackfill:
        """What a queued run belongs to within its code location, as far as it is kept apart by it."""
        return self._line_of[run_id].of

    def in_order(
        self, code_location: str, after: QueuedRun | None = None, may_start: MayStart | None = None
    ) -> Iterator[QueuedRun]:
        """The queued runs of a code location in Dagster's order: by priority, then the oldest first.

        Args:
            code_location: Its name.
            after: Only those behind this place.
            may_start: Which lines may start, asked again for each run; one that may not is left for good.
        """
        lines = self._lines.get(code_location, {})
        for priority in sorted(lines, reverse=True):
            if after and priority > after.priority:
                continue
            behind = after.id if after and priority == after.priority else 0
            for run_id in lines[priority].in_order(behind, may_start):
                yield QueuedRun(priority, run_id)

    def move_all(self, code_locations: Mapping[int, str]) -> None:
        """Put runs where their bodies say that they belong, because their rows say otherwise."""
        for run_id, code_location in code_locations.items():
            priority = self._line_of[run_id].priority
            self._remove(run_id)
            self._add(run_id, code_location, priority)
            self.not_tagged.add(run_id)

    def _add(self, run_id: int, code_location: str, priority: int, of: JobAndBackfill = _ANY) -> None:
        by_priority = self._lines.setdefault(code_location, {})
        lines = by_priority.get(priority)
        if lines is None:
            lines = by_priority[priority] = _Lines()
        self._line_of[run_id] = lines.add(run_id, code_location, priority, of)
        self._runs_of[code_location] += 1

    def _remove(self, run_id: int) -> None:
        line = self._line_of.pop(run_id, None)
        self.not_tagged.discard(run_id)
        if line is None:
            return
        name = line.code_location
        lines = self._lines[name][line.priority]
        lines.remove(run_id, line)
        self._runs_of[name] -= 1
        if not lines:
            del self._lines[name][line.priority]
            if not self._lines[name]:
                del self._lines[name], self._runs_of[name]

    def _look_up(self, connection: db.Connection, run_ids: Sequence[int]) -> None:
        for chunk in in_chunks(run_ids):
            jobs = self._jobs(connection, chunk)
            tags: dict[int, list[tuple[str, str]]] = {}
            for run_id, key, value in connection.execute(_tags_of(chunk, self._tags)).all():
                tags.setdefault(run_id, []).append((key, value))
            origins = _origins(connection, [run_id for run_id, of_run in tags.items() if not _label(of_run)])
            for run_id, of_run in sorted(tags.items()):
                self._remove(run_id)
                carried = [value for key, value in of_run if key == CLT_TAG_KEY]
                label = _label(of_run)
                name = label.partition("@")[2] if label else origins.get(run_id)
                automatic = is_automatic({key for key, _ in of_run})
                of = JobAndBackfill(jobs.get(run_id), _value(of_run, BACKFILL_ID_TAG), automatic)
                apart = self._keep_apart(name, of) if name and self._keep_apart else _ANY
                self._add(run_id, name or NO_CODE_LOCATION, _priority(of_run), apart)
                if name and carried != [name]:
                    self.not_tagged.add(run_id)

    @property
    def _tags(self) -> Sequence[str]:
        """The keys of the tags that count here."""
        keys = (CLT_TAG_KEY, REPOSITORY_LABEL_TAG, PRIORITY_TAG)
        return (*keys, *TAGS_OF_AUTOMATIC_RUNS) if self._keep_apart else keys

    def _jobs(self, connection: db.Connection, run_ids: Sequence[int]) -> dict[int, str]:
        """The jobs of some runs, where they count."""
        if not self._keep_apart:
            return {}
        query = db.select(RunsTable.c.id, RunsTable.c.pipeline_name).where(RunsTable.c.id.in_(run_ids))
        return {run_id: job for run_id, job in connection.execute(query).all()}  # noqa: C416 - as above


def untagged_queued_runs(connection: db.Connection) -> dict[str, str]:
    """The code location of each queued run that doesn't carry just the one tag that it should, by run id.

    Args:
        connection: To the instance's run database.
    """
    queued = QueuedRuns()
    queued.bring_up_to_date(connection)
    ids = run_ids(connection, sorted(queued.not_tagged))
    return {run_id: queued.code_location(number) for number, run_id in ids.items()}


Id = TypeVar("Id", int, str)


def in_chunks(ids: Iterable[Id]) -> Iterator[list[Id]]:
    """As many as one statement takes, so that PostgreSQL always goes by the index."""
    rest = iter(ids)
    while chunk := list(islice(rest, ROWS_A_STATEMENT)):
        yield chunk


def run_ids(connection: db.Connection, numbers: Iterable[int]) -> dict[int, str]:
    """The run ids of runs, by the storage's number."""
    ids: dict[int, str] = {}
    for chunk in in_chunks(numbers):
        query = db.select(RunsTable.c.id, RunsTable.c.run_id).where(RunsTable.c.id.in_(chunk))
        ids.update((number, run_id) for number, run_id in connection.execute(query).all())
    return ids


def load_runs(connection: db.Connection, run_ids: Iterable[int]) -> dict[int, DagsterRun]:
    """The runs that are still queued, by the storage's number."""
    runs = {}
    for chunk in in_chunks(run_ids):
        rows = connection.execute(
            db.select(RunsTable.c.id, RunsTable.c.run_body).where(
                RunsTable.c.id.in_(chunk), RunsTable.c.status == DagsterRunStatus.QUEUED.value
            )
        )
        for run_id, body in rows.all():
            # The status of the column is the true one; that of the body may be older.
            runs[run_id] = deserialize_value(body, DagsterRun).with_status(DagsterRunStatus.QUEUED)
    return runs


_IS_QUEUED = RunsTable.c.status == DagsterRunStatus.QUEUED.value
_COUNT = db.select(db.func.count()).select_from(RunsTable).where(_IS_QUEUED)
_NEWEST = db.select(db.func.max(RunsTable.c.update_timestamp)).where(_IS_QUEUED)


def _queued_ids(since: datetime | None) -> db.Select[tuple[int, datetime | None]]:
    """The number of each queued run, and when it was last changed if that was lately."""
    changed = RunsTable.c.update_timestamp
    is_late = db.false() if since is None else changed > since
    return (
        db.select(RunsTable.c.id, db.case((is_late, changed), else_=None))
        .where(_IS_QUEUED)
        .order_by(RunsTable.c.id)
    )


def _changed_since(since: datetime) -> db.Select[tuple[int, datetime]]:
    changed = RunsTable.c.update_timestamp
    return db.select(RunsTable.c.id, changed).where(_IS_QUEUED, changed > since)


def _queued_of(run_ids: Sequence[int]) -> db.Select[tuple[int]]:
    return db.select(RunsTable.c.id).where(RunsTable.c.id.in_(run_ids), _IS_QUEUED)


def _tags_of(run_ids: Sequence[int], keys: Sequence[str]) -> db.Select[tuple[int, str, str]]:
    """The tags with these keys of some runs; a row with nulls for a run that has none of them."""
    # Joined to nothing, the key would lead SQLite to its index on the keys, and through all of the history.
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


def _priority(tags: Iterable[tuple[str, str]]) -> int:
    return priority_of(next((value for key, value in tags if key == PRIORITY_TAG), None))


def priority_of(value: str | None) -> int:
    """A priority as Dagster reads its tag; what is no number is 0, as no tag is."""
    try:
        return int(value or 0)
    except ValueError:
        return 0


def _origins(connection: db.Connection, run_ids: Sequence[int]) -> dict[int, str]:
    """The code locations of runs that have no label, where their bodies tell."""
    return {
        run_id: name
        for run_id, run in load_runs(connection, run_ids).items()
        if (name := code_location_of(run)) is not None
    }
