"""The queued runs that one tick looks at, and their bodies.

Whether a run can start is known only from its body, which is what makes reading a long queue slow. So the likely
ones are loaded at once, and more of a code location only where its first ones are held. How many are looked at
is bounded. Where that isn't enough, the first ones are looked at at each tick, and of the others as many more as
the bound allows, beginning where the last tick stopped: so every run gets its turn, however many before it are
held.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterRun
from clt_queued_run_coordinator.queue.queued_run import QueuedRun
from clt_queued_run_coordinator.queue.queued_runs import QueuedRuns
from clt_queued_run_coordinator.queue.rows import load_runs
from clt_queued_run_coordinator.shares.job_and_backfill_limits import JobAndBackfillLimits
from clt_queued_run_coordinator.tagging.code_location_tag import code_location_of

CANDIDATES_PER_TICK = 1000
"""How many runs a tick looks at in all while they are held, shared by the code locations that have room ..."""

CANDIDATES_PER_LOCATION = 50
"""... but so many of each."""

BODIES_PER_STATEMENT = 100
"""How many bodies are loaded with one statement, at most."""


StoppedAt = dict[tuple[str, bool | None], QueuedRun]
"""Where the last tick stopped: by code location and, where backfills have turns there, whether in their queue."""


class Candidates:
    """What one tick looks at.

    Args:
        connection: To the instance's run database.
        queued: The queue.
        stopped_at: Where the last tick stopped in each code location that it could not look through; kept up to
            date.
        code_locations: How many code locations have room.
        job_limits: The limits on jobs and backfills, with what is in progress.
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
        """The limits on jobs and backfills; whoever lets a run start counts it there."""
        self.misplaced: dict[int, str] = {}
        """The runs that belong to another code location than their rows say, with its name."""

    def likely(self, code_location: str, job_limits: JobAndBackfillLimits) -> Iterator[QueuedRun]:
        """The runs of a code location that start if nothing else is held, and those behind.

        Args:
            code_location: Its name.
            job_limits: A copy of the one here, to count what is likely to start.
        """
        turns = job_limits.turns_of(code_location)
        if turns is None:
            return self._in_order(code_location, job_limits)
        return turns.in_turn(
            self._in_order(code_location, job_limits, backfills=True),
            self._in_order(code_location, job_limits, backfills=False),
        )

    def of(self, code_location: str, room: int | None) -> Iterator[QueuedRun]:
        """The runs of a code location to look at, in Dagster's order, or as its backfills have turns.

        Args:
            code_location: Its name.
            room: How many could start; None for all.
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
        # Who gets here has had nothing of those before taken up, or not enough.
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
        """Load the bodies of runs; returns those that weren't there yet."""
        missing = [run.id for run in runs if run.id not in self._bodies]
        loaded = load_runs(self._connection, missing)
        self._bodies.update((run_id, loaded.get(run_id)) for run_id in missing)
        return list(loaded.values())

    def load_from(self, code_location: str, run: QueuedRun) -> list[DagsterRun]:
        """Load the bodies of a run and of those behind it in its code location, unless the run's is there."""
        if run.id in self._bodies:
            return []
        backfills = None
        if self.job_limits.turns_of(code_location):
            backfills = self._queued.job_and_backfill(run.id).backfill is not None
        behind = self._in_order(code_location, self.job_limits, run, backfills=backfills)
        return self.load(chain([run], islice(behind, min(BODIES_PER_STATEMENT, 2 * self._half) - 1)))

    def body(self, run: QueuedRun) -> DagsterRun | None:
        """The loaded body of a run; None where the run has left the queue."""
        return self._bodies[run.id]

    def loaded(self, run: QueuedRun) -> DagsterRun:
        """The loaded body of a run that is still queued."""
        body = self._bodies[run.id]
        assert body is not None  # noqa: S101 - only such runs are admitted
        return body

    def belongs(self, code_location: str, run: QueuedRun, body: DagsterRun) -> bool:
        """Whether a run's body says what its rows say; if not it is noted in `misplaced`."""
        origin = code_location_of(body)
        if origin is not None and origin != code_location:
            self.misplaced[run.id] = origin
            return False
        return True
