"""The queued runs that one tick looks at, and what holds each of them.

Only its body says whether a run can start, and loading bodies is what makes reading a long queue slow. So each
body is read once: from then on the run waits in the lane of those that need the same tag limits and pools. A lane
that is held is skipped as a whole, however long it is, and none of its runs is overlooked when it becomes free.

The number of runs whose bodies are read is bounded, as far as these runs are held. Half of them are the first ones
in Dagster's order, half are the oldest ones. So whatever else arrives, at any priority, each run is read within a
number of ticks that depends only on how many runs were there before it.
"""

import heapq
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from operator import itemgetter

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterRun
from clt_queued_run_coordinator.config.tag import code_location_of
from clt_queued_run_coordinator.daemon.dagster_checks import DagsterChecks, Needs
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.policy.job_and_backfill_limits import JobAndBackfillLimits
from clt_queued_run_coordinator.policy.queued_run import JobAndBackfill, MayStart, QueuedRun
from clt_queued_run_coordinator.policy.room import Room
from clt_queued_run_coordinator.policy.size import slots_of
from clt_queued_run_coordinator.store.rows import load_runs

CANDIDATES_PER_TICK = 1000
"""The most runs that a tick reads while they are held, divided between the code locations with room ..."""

CANDIDATES_PER_LOCATION = 50
"""... but at least this many of each."""

BODIES_PER_STATEMENT = 100
"""The most bodies that one statement loads ahead."""


class Candidates:
    """The candidates of one tick in so many code locations with room. Starts are counted in `job_limits`."""

    def __init__(
        self,
        connection: db.Connection,
        queued: QueuedRuns,
        code_locations: int,
        job_limits: JobAndBackfillLimits,
        checks: DagsterChecks,
        *,
        room: Room,
    ) -> None:
        self._connection = connection
        self._queued = queued
        self._half = max(CANDIDATES_PER_LOCATION, CANDIDATES_PER_TICK // max(1, code_locations)) // 2
        self._bodies: dict[int, DagsterRun | None] = {}
        self._needs: dict[int, Needs] = {}
        self._held: set[int] = set()
        self._misplaced: dict[int, str] = {}
        self._sizes: dict[int, int] = {}
        self._checks = checks
        self._job_limits = job_limits
        self._room = room

    def likely(self, code_location: str, job_limits: JobAndBackfillLimits, room: Room) -> Iterator[QueuedRun]:
        """The runs of a code location in the order in which they start if those not read yet aren't held.

        The likely starts are counted in `job_limits`, a copy of the limits, and in a room of their own.
        """

        def may_start(of: JobAndBackfill) -> bool:
            has_room = room.shows(code_location, of.slots) and job_limits.has_room(code_location, of)
            return has_room and not self._is_held(of)

        def of_kind(backfills: bool | None) -> Iterator[QueuedRun]:
            return self._queued.in_order(code_location, None, _of_kind(may_start, backfills))

        turns = job_limits.turns_of(code_location)
        return turns.in_turn(of_kind(True), of_kind(False)) if turns else of_kind(None)

    def of(self, code_location: str) -> Iterator[QueuedRun]:
        """The runs of a code location to look at, in Dagster's order or in the order of its backfills' turns."""
        turns = self._job_limits.turns_of(code_location)
        if turns is None:
            return self._looked_at(code_location, None, self._half)
        half = max(1, self._half // 2)
        return turns.in_turn(*(self._looked_at(code_location, kind, half) for kind in (True, False)))

    def _looked_at(self, code_location: str, backfills: bool | None, most: int) -> Iterator[QueuedRun]:
        held = 0

        def may_start(of: JobAndBackfill) -> bool:
            if (of.needs is None and held >= most) or not self._room.shows(code_location, of.slots):
                return False
            return self._job_limits.has_room(code_location, of) and not self._is_held(of)

        for run in self._queued.in_order(code_location, None, _of_kind(may_start, backfills)):
            yield run
            held += run.storage_id in self._held
        if held >= most:
            yield from self._oldest(code_location, backfills, most)

    def _oldest(self, code_location: str, backfills: bool | None, most: int) -> Iterator[QueuedRun]:
        """The oldest runs of a code location whose bodies haven't been read, in Dagster's order."""

        def may_be_read(of: JobAndBackfill) -> bool:
            return of.needs is None and self._room.shows(code_location, of.slots)

        is_unread = _of_kind(may_be_read, backfills)
        lanes = [lane for lane in self._queued.lanes(code_location) if is_unread(lane.of)]
        by_age = heapq.merge(*(((run_id, lane) for run_id in lane.ids) for lane in lanes), key=itemgetter(0))
        unread = ((run_id, lane) for run_id, lane in by_age if run_id not in self._bodies)
        runs = (QueuedRun(lane.priority, run_id, lane.of.slots) for run_id, lane in unread)
        oldest = sorted(islice(runs, most), key=lambda run: run.place)
        self.load(oldest)
        yield from oldest

    def _is_held(self, of: JobAndBackfill) -> bool:
        return isinstance(of.needs, Needs) and self._checks.hold(of.needs)

    def load(self, runs: Iterable[QueuedRun]) -> None:
        """Load the bodies of runs, and what is free in the pools that they need."""
        missing = [run.storage_id for run in runs if run.storage_id not in self._bodies]
        if missing:
            loaded = load_runs(self._connection, missing)
            self._bodies.update((run_id, loaded.get(run_id)) for run_id in missing)
            self._checks.load_pools(loaded.values())

    def could_start(self, code_location: str, run: QueuedRun) -> bool:
        """Whether nothing but slots and the limits of its code location and group holds a run."""
        of = self._queued.lane_of[run.storage_id].of
        if run.storage_id in self._held or not self._job_limits.has_room(code_location, of):
            return False
        if of.needs is not None and run.storage_id not in self._bodies:
            return not self._is_held(of)
        if run.storage_id not in self._bodies:
            self.load(chain([run], islice(self._unread_behind(code_location, run), BODIES_PER_STATEMENT - 1)))
        body = self._bodies[run.storage_id]
        could = body is not None and self._may_start(code_location, run, body)
        if not could:
            self._held.add(run.storage_id)
        return could

    def starts(self, code_location: str, run: QueuedRun) -> bool:
        """Whether a run can start; if so, it is counted."""
        self.load([run])
        if not self.could_start(code_location, run):
            return False
        body = self.body(run)
        self._job_limits.start(code_location, run, JobAndBackfill.of(body))
        self._checks.start(body)
        self._needs.pop(run.storage_id, None)
        return True

    def _unread_behind(self, code_location: str, run: QueuedRun) -> Iterator[QueuedRun]:
        of = self._queued.lane_of[run.storage_id].of
        has_turns = self._job_limits.turns_of(code_location) is not None

        def may_start(other: JobAndBackfill) -> bool:
            has_room = self._room.shows(code_location, other.slots)
            return has_room and other.needs is None and self._job_limits.has_room(code_location, other)

        kind = of.backfill is not None if has_turns else None
        behind = self._queued.in_order(code_location, run, _of_kind(may_start, kind))
        return islice(behind, 2 * self._half - 1)

    def _may_start(self, code_location: str, run: QueuedRun, body: DagsterRun) -> bool:
        """Whether limits on jobs and backfills, tag limits and pools have room for a run, by its body."""
        origin = code_location_of(body)
        if origin is not None and origin != code_location:
            self._misplaced[run.storage_id] = origin
            return False
        if not self._job_limits.has_room(code_location, JobAndBackfill.of(body)):
            return False  # its rows say otherwise, so its lane can't tell
        needs = self._needs[run.storage_id] = self._checks.needs_of(body)
        slots = slots_of(self._job_limits.limits, code_location, body.tags)
        if slots != run.slots:  # its rows say otherwise
            self._sizes[run.storage_id] = slots
            return False
        return not self._checks.hold(needs)

    def body(self, run: QueuedRun) -> DagsterRun:
        """The loaded body of a run that is still queued."""
        body = self._bodies[run.storage_id]
        assert body is not None  # noqa: S101 - only such runs are asked for
        return body

    def tell(self) -> None:
        """Tell the queue what the bodies said, once no more runs are looked at."""
        for storage_id, needs in self._needs.items():
            size = self._sizes.get(storage_id)
            self._queued.learn(storage_id, needs=needs, **({} if size is None else {"slots": size}))
        self._queued.relocate(self._misplaced)


def _of_kind(may_start: MayStart, backfills: bool | None) -> MayStart:
    """The same for the runs of backfills alone, for the other runs alone, or for all."""
    if backfills is None:
        return may_start
    return lambda of: (of.backfill is not None) is backfills and may_start(of)
