"""The part of the starts that goes to runs of backfills: examples, and what holds for any arrivals."""

from collections.abc import Iterator

import pytest
from clt_queued_run_coordinator.policy.backfill_share import BackfillTurns
from clt_queued_run_coordinator.policy.queued_run import QueuedRun
from hypothesis import given
from hypothesis import strategies as st


class Waiting:
    """Two queues of one code location, from which one tick after the other starts runs."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.earned = 0.0
        self.runs: dict[bool, list[int]] = {True: [], False: []}
        self.held: set[int] = set()
        self.both: list[bool] = []
        """Of each start for which both waited with a run that could start: whether it was a backfill's."""
        self._turns = BackfillTurns(share)
        self._number = 0

    def arrive(self, runs: int, *, of_backfill: bool) -> None:
        """Queue some runs."""
        for _ in range(runs):
            self._number += 1
            self.runs[of_backfill].append(self._number)

    def tick(self, slots: int, failing: frozenset[int] = frozenset()) -> list[bool]:
        """Start runs in free slots, of which some come back; returns whether each was a backfill's."""
        self._turns = BackfillTurns(self.share, self._turns.settled({*self.runs[True], *self.runs[False]}))
        started: list[bool] = []
        back: list[tuple[bool, int]] = []
        queues = {of: iter([QueuedRun(0, run) for run in runs]) for of, runs in self.runs.items()}
        order: Iterator[QueuedRun] = self._turns.in_turn(queues[True], queues[False])
        for run in order if slots else ():
            if run.storage_id in self.held:
                continue
            of_backfill = run.storage_id in self.runs[True]
            could = {of: [r for r in runs if r not in self.held] for of, runs in self.runs.items()}
            assert could[of_backfill][0] == run.storage_id
            if all(could.values()):
                self.both.append(of_backfill)
            self.runs[of_backfill].remove(run.storage_id)
            self._turns.start(run.storage_id)
            started.append(of_backfill)
            if len(started) - 1 in failing:
                back.append((of_backfill, run.storage_id))
            if len(started) == slots:
                break
        for of_backfill, run_id in back:
            self.runs[of_backfill] = sorted([*self.runs[of_backfill], run_id])
        return started


@pytest.mark.parametrize(("share", "order"), [(0.25, "ooobooob"), (0.5, "obobobob"), (0.75, "obbbobbb")])
def test_while_both_wait_the_share_is_kept_in_a_fixed_order(share: float, order: str) -> None:
    """Whether they start one by one, or all in one tick."""
    one_by_one, at_once = Waiting(share), Waiting(share)
    for waiting in (one_by_one, at_once):
        waiting.arrive(20, of_backfill=True)
        waiting.arrive(20, of_backfill=False)
    expected = [letter == "b" for letter in order]
    assert [one_by_one.tick(1)[0] for _ in order] == expected
    assert at_once.tick(len(order)) == expected


@pytest.mark.parametrize("of_backfill", [True, False])
def test_who_waits_alone_takes_all_and_owes_nothing(of_backfill: bool) -> None:
    """Also after a thousand starts the other gets no more than its share."""
    waiting = Waiting(0.25)
    waiting.arrive(1100, of_backfill=of_backfill)
    assert waiting.tick(1000) == [of_backfill] * 1000
    waiting.arrive(100, of_backfill=not of_backfill)
    assert sum(waiting.tick(40)) == 10


def test_a_class_whose_runs_are_all_held_keeps_nobody_waiting() -> None:
    """And gets its turn as soon as it can start one."""
    waiting = Waiting(0.25)
    waiting.arrive(10, of_backfill=True)
    waiting.arrive(20, of_backfill=False)
    waiting.held = set(range(1, 11))
    assert waiting.tick(10) == [False] * 10
    waiting.held = set()
    assert waiting.tick(1) == [True]


def test_a_run_that_did_not_start_is_not_counted() -> None:
    """The backfill's turn comes again."""
    waiting = Waiting(0.5)
    waiting.arrive(10, of_backfill=True)
    waiting.arrive(10, of_backfill=False)
    assert waiting.tick(2, failing=frozenset({1})) == [False, True]
    assert waiting.tick(1) == [True]


def test_a_turn_costs_a_code_location_no_place() -> None:
    """Whichever of the two starts, the better place of both counts beside other code locations."""
    turns = BackfillTurns(0.25)
    order = turns.in_turn(iter([QueuedRun(0, 1), QueuedRun(0, 2)]), iter([QueuedRun(0, 7), QueuedRun(0, 8)]))
    run = next(order)
    assert (run, turns.place(run)) == (QueuedRun(0, 7), QueuedRun(0, 1))


ticks = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.integers(0, 6),
        st.integers(0, 8),
        st.sets(st.integers(1, 60), max_size=10),
        st.frozensets(st.integers(0, 7), max_size=3),
    ),
    max_size=30,
)


@given(share=st.floats(0.01, 0.99), ticks=ticks)
def test_the_share_is_kept_to_within_one_start_whatever_arrives(
    share: float, ticks: list[tuple[int, int, int, set[int], frozenset[int]]]
) -> None:
    """Over any stretch of starts that both could have had; and no slot idles."""
    waiting = Waiting(share)
    for backfills, others, slots, _, _ in ticks:
        waiting.arrive(backfills, of_backfill=True)
        waiting.arrive(others, of_backfill=False)
        queued = sum(map(len, waiting.runs.values()))
        assert len(waiting.tick(slots)) == min(slots, queued)
        assert abs(sum(waiting.both) - share * len(waiting.both)) <= 1 + 1e-6


@given(share=st.floats(0.01, 0.99), ticks=ticks)
def test_nothing_idles_and_nobody_starves_where_runs_are_held_or_come_back(
    share: float, ticks: list[tuple[int, int, int, set[int], frozenset[int]]]
) -> None:
    """What was earned or is owed stays within one start, so each gets its turn."""
    waiting = Waiting(share)
    for backfills, others, slots, held, failing in ticks:
        waiting.arrive(backfills, of_backfill=True)
        waiting.arrive(others, of_backfill=False)
        waiting.held = held
        startable = sum(run not in held for runs in waiting.runs.values() for run in runs)
        assert len(waiting.tick(slots, failing)) == min(slots, startable)
        assert -1 - 1e-6 <= waiting._turns.settled({*waiting.runs[True], *waiting.runs[False]}) <= 1 + 1e-6
