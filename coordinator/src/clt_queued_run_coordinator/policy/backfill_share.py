"""The fraction of a code location's starts that goes to runs of backfills while other runs wait too. Pure.

Runs of backfills and other runs wait in two queues, each in Dagster's order. While both wait, each start earns
the backfills their share of it, and each start of a backfill's run costs them one. It is their turn once they
have earned a whole start. So at any moment they have had their share of the starts, to within one.

If one of the two queues can't start anything, the other one goes, and nothing is earned or owed. So a backfill
that is alone takes every slot, and a run that comes later finds no debt.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from clt_queued_run_coordinator.policy.queued_run import QueuedRun

_ROUNDING = 1e-9
"""Ten times 0.1 is slightly less than 1 in floating point."""


@dataclass
class BackfillTurns:
    """The turns of backfills in one code location during one tick.

    Attributes:
        earned: What the backfills have earned so far, in starts.
        changes: How much each start has changed `earned`, by the storage's id of the run.
    """

    share: float
    earned: float = 0.0
    changes: dict[int, float] = field(default_factory=dict)
    _is_backfills: bool = False
    _both_wait: bool = False
    _first: QueuedRun | None = None

    def copy(self) -> "BackfillTurns":
        """A copy that continues from the same state."""
        return BackfillTurns(self.share, self.earned)

    def in_turn(self, backfills: Iterator[QueuedRun], others: Iterator[QueuedRun]) -> Iterator[QueuedRun]:
        """The runs of both queues, in the order of their turns.

        Both are in Dagster's order. Whether a run starts has to be known before the next one is taken. If it does
        start, `start` is called first.
        """
        queues = {True: backfills, False: others}
        heads = {of_backfill: next(queue, None) for of_backfill, queue in queues.items()}
        while waiting := {of_backfill: run for of_backfill, run in heads.items() if run}:
            self._both_wait = len(waiting) > 1
            turn = self.earned + self.share >= 1 - _ROUNDING
            self._is_backfills = turn if self._both_wait else True in waiting
            self._first = min(waiting.values(), key=lambda run: run.place)
            yield waiting[self._is_backfills]
            heads[self._is_backfills] = next(queues[self._is_backfills], None)

    def place(self, run: QueuedRun) -> QueuedRun:
        """The run whose place counts between code locations: the better placed one of the two that wait here.

        Otherwise a turn within a code location would cost it its place among the others.
        """
        return self._first or run

    def start(self, run_id: int) -> None:
        """Count the start of the run that was yielded last."""
        if self._both_wait:
            change = self.share - self._is_backfills
            self.earned += change
            self.changes[run_id] = change

    def settled(self, queued: Container[int]) -> float:
        """What the backfills have earned, when counted runs that are queued at the next tick did not start."""
        not_started = sum(change for run_id, change in self.changes.items() if run_id in queued)
        return min(1.0, max(-1.0, self.earned - not_started))
