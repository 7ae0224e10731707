"""Which failed runs open a circuit breaker."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from clt_queued_run_coordinator.config import plain_data
from clt_queued_run_coordinator.config.options import Breaker
from clt_queued_run_coordinator.policy.breaker import BreakerState, EndedRun, OpenBreaker, update
from clt_queued_run_coordinator.policy.changes import Change, LiveChanges
from clt_queued_run_coordinator.policy.totals import Outcome
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 25, 8, tzinfo=timezone.utc)
S, F, C = Outcome.SUCCESS, Outcome.FAILURE, Outcome.CANCELED
NONE = LiveChanges(read_at=NOW)


def at(seconds: float) -> float:
    """A moment so many seconds from now."""
    return NOW.timestamp() + seconds


def ended(outcomes: Sequence[Outcome], every: float = 1.0, name: str = "a", first: float = 0.0) -> list[EndedRun]:
    """Runs that ended one after the other."""
    return [
        EndedRun(f"run {number}", name, outcome, at(first + number * every))
        for number, outcome in enumerate(outcomes)
    ]


def opens(
    breaker: Breaker, runs: Sequence[EndedRun], before: dict[str, BreakerState] | None = None
) -> dict[str, str]:
    """Why breakers open."""
    return update(before or {}, runs, lambda _name: breaker, NONE).opens


@pytest.mark.parametrize(
    ("outcomes", "does"),
    [
        ([F, F, F], True),
        ([F, F], False),
        ([F, F, S, F], False),
        ([F, F, C, F], True),
        ([S, F, F, F, S], True),
        ([C, C, C], False),
        ([], False),
    ],
)
def test_failures_in_a_row(outcomes: list[Outcome], does: bool) -> None:
    """A success begins the row anew, a canceled run is passed over."""
    assert bool(opens(Breaker(3), ended(outcomes))) == does


@pytest.mark.parametrize(
    ("outcomes", "every", "does"),
    [
        ([F, F, F], 5, True),
        ([F, F, F], 5.1, False),
        ([F, S, F, S, F], 2, True),
        ([F, S, F, S, F], 3, False),
        ([F, F, C], 1, False),
        ([F, F, F], 0, True),
    ],
)
def test_failures_within_a_time(outcomes: list[Outcome], every: float, does: bool) -> None:
    """Three within ten seconds, whatever succeeds between them."""
    assert bool(opens(Breaker(3, within=10), ended(outcomes, every))) == does


@pytest.mark.parametrize(
    ("breaker", "reason"),
    [
        (Breaker(2), "2 failed runs in a row, last run 1"),
        (Breaker(1), "1 failed run in a row, last run 0"),
        (Breaker(2, within=5400), "2 failed runs within 1h30m, last run 1"),
    ],
)
def test_the_reason_names_the_run_that_opened_it(breaker: Breaker, reason: str) -> None:
    """The first that was too many."""
    assert opens(breaker, ended([F, F, F, F])) == {"a": reason}


def test_each_code_location_is_counted_by_itself() -> None:
    """By its own breaker, if it has one; runs that come from none are not counted."""
    breakers = {"a": Breaker(2), "b": Breaker(3), "": Breaker(1)}
    runs = [run for pair in zip(ended([F, F], name="a"), ended([F, F], name="b"), strict=True) for run in pair]
    followed = update({}, [*runs, *ended([F], name="c"), *ended([F], name="")], breakers.get, NONE)
    assert set(followed.opens) == {"a"}
    assert followed.states["b"] == BreakerState(in_a_row=2, last="run 1")


def test_nothing_counts_while_it_is_open() -> None:
    """Neither for the time afterwards."""
    live = LiveChanges(breakers={"a": Change(1, "circuit breaker", NOW, NOW + timedelta(hours=1))}, read_at=NOW)
    followed = update({"a": BreakerState(in_a_row=2)}, ended([F, F, F]), lambda _name: Breaker(2), live)
    assert followed.opens == {}
    assert followed.states == {"a": BreakerState(open=OpenBreaker(at(0), at(3600)))}


def test_what_ended_before_it_closed_by_itself_does_not_count_afterwards() -> None:
    """As after a daemon that was down meanwhile."""
    before = {"a": BreakerState(open=OpenBreaker(at(-100), at(-10)))}
    runs = [*ended([F, F, F], first=-50), *ended([F], first=-5)]
    followed = update(before, runs, lambda _name: Breaker(2), NONE)
    assert (followed.opens, followed.closed) == ({}, ("a",))
    assert followed.states == {"a": BreakerState(in_a_row=1, closed_at=at(-10), last="run 0")}
    assert set(update(followed.states, ended([F]), lambda _name: Breaker(2), NONE).opens) == {"a"}


@pytest.mark.parametrize(
    ("resumed", "closed_at"),
    [(-20.0, -20.0), (-200.0, 0.0), (None, 0.0)],
    ids=["resumed", "resumed before it opened", "unknown"],
)
def test_a_resume_closes_it_and_what_ended_before_does_not_count(resumed: float | None, closed_at: float) -> None:
    """Where nothing says when it was closed it counts from now on."""
    pauses = {} if resumed is None else {"a": Change(0, "somebody", NOW + timedelta(seconds=resumed))}
    before = {"a": BreakerState(open=OpenBreaker(at(-100)))}
    followed = update(before, [], lambda _name: Breaker(2), LiveChanges(pauses=pauses, read_at=NOW))
    assert followed.states == {"a": BreakerState(closed_at=at(closed_at))}


def test_a_code_location_without_a_breaker_is_forgotten() -> None:
    """Its count would be old when it gets one again."""
    assert update({"a": BreakerState(in_a_row=2)}, ended([F]), lambda _name: None, NONE).states == {}


@given(
    runs=st.lists(st.tuples(st.sampled_from(Outcome), st.integers(0, 20)), max_size=30),
    failures=st.integers(1, 5),
    within=st.none() | st.integers(1, 30),
    ticks=st.lists(st.integers(0, 30), max_size=5),
)
def test_it_opens_at_the_first_run_that_is_too_many_however_the_ticks_fall(
    runs: list[tuple[Outcome, int]], failures: int, within: int | None, ticks: list[int]
) -> None:
    """And whatever the daemon stores and reads between them."""
    moment = 0
    all_runs = []
    for number, (outcome, after) in enumerate(runs):
        moment += after
        all_runs.append(EndedRun(f"run {number}", "a", outcome, at(moment)))
    breaker = Breaker(failures, within=within)
    opened: list[str] = []
    before: dict[str, BreakerState] = {}
    borders = [0, *sorted(min(tick, len(all_runs)) for tick in ticks), len(all_runs)]
    for first, last in itertools.pairwise(borders):
        followed = update(before, all_runs[first:last], lambda _name: breaker, NONE)
        before = {
            name: plain_data.read(BreakerState, plain_data.write(of_it)) for name, of_it in followed.states.items()
        }
        if followed.opens:
            opened.append(followed.opens["a"].rpartition("last ")[2])
            break
    assert opened == _first_too_many(all_runs, failures, within)[:1]


def _first_too_many(runs: Sequence[EndedRun], failures: int, within: int | None) -> list[str]:
    """The runs at which it would open, by looking back from each."""
    found = []
    for number, run in enumerate(runs):
        if run.outcome is not F:
            continue
        behind = [other for other in runs[: number + 1] if other.outcome is not C]
        if within is None:
            counted = [other.outcome for other in behind[-failures:]] == [F] * failures
        else:
            counted = sum(other.outcome is F and other.ended >= run.ended - within for other in behind) >= failures
        if counted:
            found.append(run.run_id)
    return found


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text() | st.sampled_from(["in_a_row", "failed_at", "closed_at", "open", "at", "until"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(data=json)
def test_whatever_is_stored_can_be_read(data: Any) -> None:
    """What can't be understood counts as nothing."""
    counted = plain_data.read(BreakerState, data) or BreakerState()
    update({"a": replace(counted, open=None)}, ended([F, S]), lambda _name: Breaker(2), NONE)
