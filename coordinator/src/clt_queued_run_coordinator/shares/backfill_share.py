"""Which part of a code location's starts goes to runs of backfills while other runs wait too. Pure.

Runs of backfills and others wait in two queues, each in Dagster's order. A start that both wait for earns the
backfills their share of it, and a start of theirs costs one. It is their turn where they have earned a whole one.
So at any moment they have had their share of the starts, to within one. Where one of the two can't start anything
the other goes, and nothing is earned or owed: a backfill alone takes every slot, and whoever comes late finds no
debt.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from clt_queued_run_coordinator.queue.queued_run import QueuedRun

_ROUNDING = 1e-9
"""Ten tenths are a little less than one."""


@dataclass
class BackfillTurns:
    """The turns of one code location in one tick.

    Attributes:
        share: The part of the starts that goes to runs of backfills, above 0 and below 1.
        earned: What the backfills have earned, in starts.
        changes: By how much each start has changed it, by the run's number.
    """

    share: float
    earned: float = 0.0
    changes: dict[int, float] = field(default_factory=dict)
    _is_backfills: bool = False
    _both_wait: bool = False
    _first: QueuedRun | None = None

    def copy(self) -> "BackfillTurns":
        """The same, to go on from here."""
        return BackfillTurns(self.share, self.earned)

    def in_turn(self, backfills: Iterator[QueuedRun], others: Iterator[QueuedRun]) -> Iterator[QueuedRun]:
        """The runs of both queues, each when it is its turn.

        One is asked for after it is known whether the one before it starts; if so, `start` is called before.

        Args:
            backfills: The queued runs of backfills, in Dagster's order.
            others: The others, likewise.
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
        """Whose place in the queue of all code locations a run takes: of the two that wait here the better one.

        Else a code location would lose its place to others by a turn within it.
        """
        return self._first or run

    def start(self, run_id: int) -> None:
        """Count the start of the run that was handed out last."""
        if self._both_wait:
            change = self.share - self._is_backfills
            self.earned += change
            self.changes[run_id] = change

    def settled(self, queued: Container[int]) -> float:
        """What the backfills have earned in the end.

        Args:
            queued: The runs that are queued at the next tick: those of the counted ones among them did not start.
        """
        not_started = sum(change for run_id, change in self.changes.items() if run_id in queued)
        return min(1.0, max(-1.0, self.earned - not_started))
