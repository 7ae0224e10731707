"""The queued runs that one tick looks at, and their bodies.

Only its body says whether a run can start, and loading bodies is what makes reading a long queue slow. So the runs
that are likely to start are loaded at once, and more of a code location only if its first ones are held.

The number of candidates is bounded. If the bound is too low to look through a code location, each tick looks at
the first runs and at as many others as the bound allows, continuing where the last tick stopped. So every run gets
its turn, however many before it are held.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterRun
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.policy.job_and_backfill_limits import JobAndBackfillLimits
from clt_queued_run_coordinator.policy.queued_run import QueuedRun
from clt_queued_run_coordinator.store.code_location import code_location_of
from clt_queued_run_coordinator.store.rows import load_runs

CANDIDATES_PER_TICK = 1000
"""The most runs that a tick looks at while they are held, divided between the code locations with room ..."""

CANDIDATES_PER_LOCATION = 50
"""... but at least this many of each."""

BODIES_PER_STATEMENT = 100
"""The most bodies that one statement loads."""


StoppedAt = dict[tuple[str, bool | None], QueuedRun]
"""Where the last tick stopped, by code location and, if backfills have turns there, whether in their queue."""


class Candidates:
    """The candidates of one tick.

    Args:
        connection: To the instance's run database.
        queued: The queue.
        stopped_at: Where the last tick stopped in each code location that it couldn't look through; kept up to
            date.
        code_locations: The number of code locations with room.
        job_limits: The limits on jobs and backfills, with the runs in progress counted.
    """

    def __init__(
        self,
        connection: db.Connection,
        queued: QueuedRuns,
        stopped_at: StoppedAt,
        code_locations: int,
        job_limits: JobAndBackfillLimits,
    ) -> None:
        self._connection = connection
        self._queued = queued
        self._stopped_at = stopped_at
        self._half = max(CANDIDATES_PER_LOCATION, CANDIDATES_PER_TICK // max(1, code_locations)) // 2
        self._bodies: dict[int, DagsterRun | None] = {}
        self.job_limits = job_limits
        """The limits on jobs and backfills. Whoever lets a run start counts it there."""
        self.misplaced: dict[int, str] = {}
        """The code locations of runs whose bodies and rows disagree, as the bodies have it."""

    def likely(self, code_location: str, job_limits: JobAndBackfillLimits) -> Iterator[QueuedRun]:
        """The runs of a code location in the order in which they start if nothing is held.

        Args:
            code_location: Its name.
            job_limits: A copy of `self.job_limits`, in which the likely starts are counted.
        """
        turns = job_limits.turns_of(code_location)
        if turns is None:
            return self._in_order(code_location, job_limits)
        return turns.in_turn(
            self._in_order(code_location, job_limits, backfills=True),
            self._in_order(code_location, job_limits, backfills=False),
        )

    def of(self, code_location: str, room: int | None) -> Iterator[QueuedRun]:
        """The runs of a code location to look at, in Dagster's order or in the order of its backfills' turns.

        Args:
            code_location: Its name.
            room: How many of them could start; None for all.
        """
        turns = self.job_limits.turns_of(code_location)
        if turns is None:
            return self._looked_at(code_location, room, self._half)
        half = max(1, self._half // 2)
        return turns.in_turn(
            self._looked_at(code_location, room, half, backfills=True),
            self._looked_at(code_location, room, half, backfills=False),
        )

    def _in_order(
        self,
        code_location: str,
        job_limits: JobAndBackfillLimits,
        after: QueuedRun | None = None,
        *,
        backfills: bool | None = None,
    ) -> Iterator[QueuedRun]:
        has_room = job_limits.room_check(code_location)
        if backfills is None:
            return self._queued.in_order(code_location, after, has_room)
        return self._queued.in_order(
            code_location,
            after,
            lambda of_run: (of_run.backfill is not None) is backfills and (has_room is None or has_room(of_run)),
        )

    def _looked_at(
        self, code_location: str, room: int | None, half: int, *, backfills: bool | None = None
    ) -> Iterator[QueuedRun]:
        first = None if room is None else max(room, half)
        last = None
        for last in islice(self._in_order(code_location, self.job_limits, backfills=backfills), first):
            yield last
        if last is None:
            return
        # The caller gets here only if too few of the first runs could start.
        stopped_at = self._stopped_at.get((code_location, backfills), last)
        behind = max(last, stopped_at, key=lambda run: run.place)
        rest = self._in_order(code_location, self.job_limits, behind, backfills=backfills)
        for last in islice(rest, half):
            yield last
        more = next(rest, None)
        if more:
            self._stopped_at[code_location, backfills] = last
        else:
            self._stopped_at.pop((code_location, backfills), None)

    def load(self, runs: Iterable[QueuedRun]) -> list[DagsterRun]:
        """Load the bodies of runs; returns the newly loaded ones."""
        missing = [run.storage_id for run in runs if run.storage_id not in self._bodies]
        loaded = load_runs(self._connection, missing)
        self._bodies.update((run_id, loaded.get(run_id)) for run_id in missing)
        return list(loaded.values())

    def load_from(self, code_location: str, run: QueuedRun) -> list[DagsterRun]:
        """Load the bodies of a run and of those behind it in its code location, unless its own is loaded."""
        if run.storage_id in self._bodies:
            return []
        backfills = None
        if self.job_limits.turns_of(code_location):
            backfills = self._queued.job_and_backfill(run.storage_id).backfill is not None
        behind = self._in_order(code_location, self.job_limits, run, backfills=backfills)
        return self.load(chain([run], islice(behind, min(BODIES_PER_STATEMENT, 2 * self._half) - 1)))

    def body(self, run: QueuedRun) -> DagsterRun | None:
        """The loaded body of a run; None if the run has left the queue."""
        return self._bodies[run.storage_id]

    def loaded(self, run: QueuedRun) -> DagsterRun:
        """The loaded body of a run that is still queued."""
        body = self._bodies[run.storage_id]
        assert body is not None  # noqa: S101 - only such runs are admitted
        return body

    def belongs(self, code_location: str, run: QueuedRun, body: DagsterRun) -> bool:
        """Whether a run's body names the code location that its rows name. If not, it is added to `misplaced`."""
        origin = code_location_of(body)
        if origin is not None and origin != code_location:
            self.misplaced[run.storage_id] = origin
            return False
        return True
