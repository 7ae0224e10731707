"""Judging from the times at which runs were in progress."""

import pytest
from harness.concurrency import (
    InProgress,
    LimitChange,
    Queued,
    longest_overtaking,
    peak,
    peak_by_code_location,
    starts_before,
    violations,
    violations_while_changing,
)
from hypothesis import given
from hypothesis import strategies as st


def a(run_id: str, start: float, end: float | None) -> InProgress:
    """A run of code location a."""
    return InProgress(run_id, "a", start, end)


def b(run_id: str, start: float, end: float | None) -> InProgress:
    """A run of code location b."""
    return InProgress(run_id, "b", start, end)


@pytest.mark.parametrize(
    ("runs", "most"),
    [
        pytest.param([], 0, id="no runs"),
        pytest.param([a("1", 0, 5), a("2", 6, 9)], 1, id="one after the other"),
        pytest.param([a("1", 0, 5), a("2", 5, 9)], 1, id="a slot is free at the end"),
        pytest.param([a("1", 0, 5), a("2", 4, 9)], 2, id="overlapping"),
        pytest.param([a("1", 0, 9), a("2", 1, 2), a("3", 3, 4)], 2, id="two short ones inside a long one"),
        pytest.param([a("1", 0, None), a("2", 100, None)], 2, id="never ended"),
        pytest.param([a("1", 0, 5), a("1", 3, 9)], 1, id="one run that started twice"),
        pytest.param([a("1", 0, 1), a("1", 5, 9), a("2", 2, 4)], 1, id="put back into the queue between"),
        pytest.param([a("1", 0, 5), a("2", 0, 5)], 2, id="started at the same moment"),
    ],
)
def test_most_at_once(runs: list[InProgress], most: int) -> None:
    """The most at once counts each run from its start until just before its end."""
    assert peak(runs) == most


def test_each_code_location_is_counted_by_itself() -> None:
    """Runs of one code location do not count for another."""
    runs = [a("1", 0, 9), a("2", 1, 9), b("3", 2, 9)]
    assert peak_by_code_location(runs) == {"a": 2, "b": 1}
    assert peak(runs) == 3


def test_a_violation_names_the_limit_and_the_runs() -> None:
    """The start that broke the limit is found, with every run in progress at that moment."""
    found = violations([a("1", 0, 9), a("2", 1, 9), b("3", 2, 9)], {"a": 1, "b": 1})
    assert [str(violation) for violation in found] == ["a: 2 runs in progress at 1.000 with a limit of 1: 1, 2"]


def test_a_limit_reached_is_no_violation() -> None:
    """As many runs as the limit are allowed, and a code location without a limit may run any number."""
    assert violations([a("1", 0, 9), a("2", 1, 9), b("3", 2, 9), b("4", 2, 9)], {"a": 2}) == []


def test_the_limit_of_all_runs_together() -> None:
    """max_concurrent_runs is broken by runs of any code location."""
    found = violations([a("1", 0, 9), b("2", 1, 9)], {}, max_concurrent_runs=1)
    assert [str(violation) for violation in found] == [
        "all code locations together: 2 runs in progress at 1.000 with a limit of 1: 1, 2"
    ]


def test_a_limit_of_nothing() -> None:
    """Under a limit of 0 the first start is a violation."""
    assert len(violations([a("1", 0, 9)], {"a": 0})) == 1


def test_starts_before_the_first_of_a_code_location() -> None:
    """Only starts before the first of that code location count, each run once."""
    runs = [a("1", 0, 1), a("1", 2, 9), a("2", 3, 9), b("3", 4, 9), a("4", 5, 9)]
    assert starts_before(runs, "b") == 2
    assert starts_before(runs, "a") == 0


def test_a_code_location_that_never_started() -> None:
    """Asking after a code location without runs is an error that names it."""
    with pytest.raises(ValueError, match=r"No run of b started\."):
        starts_before([a("1", 0, 9)], "b")


@given(
    st.lists(
        st.builds(
            InProgress,
            run_id=st.sampled_from("12345"),
            code_location=st.just("a"),
            start=st.integers(0, 20),
            end=st.none() | st.integers(0, 30),
        )
    )
)
def test_the_most_at_once_is_the_smallest_limit_without_violations(runs: list[InProgress]) -> None:
    """The two answers agree: a limit as high as the most at once holds, one less is broken."""
    most = peak(runs)
    assert violations(runs, {"a": most}) == []
    assert bool(violations(runs, {"a": most - 1})) == bool(runs)


def test_limits_that_change() -> None:
    """A start may follow any limit that was in force within its tick, and no older one."""
    runs = [a("1", 0, 99), a("2", 10, 99), a("3", 20, 99)]
    lowered = [LimitChange(5, "a", 1)]
    assert violations_while_changing(runs, {"a": 3}, lowered, tick=20) == []
    assert [v.time for v in violations_while_changing(runs, {"a": 3}, lowered, tick=10)] == [20]
    assert [v.time for v in violations_while_changing(runs, {"a": 3}, lowered, tick=1)] == [10, 20]
    raised = [*lowered, LimitChange(9, "a", 3), LimitChange(9, "b", 0)]
    assert violations_while_changing(runs, {"a": 3}, raised, tick=1) == []


def test_a_pause_is_a_limit_of_nothing() -> None:
    """Under a pause no run may start; those in progress may go on."""
    paused = [LimitChange(5, "a", 0)]
    assert violations_while_changing([a("1", 0, 99)], {"a": 3}, paused, tick=1) == []
    assert len(violations_while_changing([a("1", 0, 99), a("2", 7, 99)], {"a": 3}, paused, tick=1)) == 1


def test_overtaken() -> None:
    """Starts of others in a row count while runs are queued and the limit leaves room."""
    runs = [a("1", 1, 2), a("2", 2, 3), b("3", 4, 9), a("4", 5, 6), a("5", 10, 11)]
    waiting = [Queued("3", "b", 0, 4), Queued("6", "b", 4.5, None)]
    assert longest_overtaking(waiting, runs, {"a": 9, "b": 1}) == {"a": 0, "b": 2}
    assert longest_overtaking(waiting, runs, {"b": 2}) == {"b": 2}
    assert longest_overtaking([], runs, {"b": 1}) == {"b": 0}
