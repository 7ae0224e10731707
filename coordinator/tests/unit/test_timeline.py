"""How many runs of each code location were in progress over time."""

import pytest
from harness.concurrency import InProgress, peak_by_code_location
from harness.timeline import Steps, in_progress_over_time
from hypothesis import given
from hypothesis import strategies as st


def a(run_id: str, start: float, end: float | None) -> InProgress:
    """A run of code location a."""
    return InProgress(run_id, "a", start, end)


@pytest.mark.parametrize(
    ("runs", "steps"),
    [
        pytest.param([a("1", 1, 5), a("2", 3, 9)], Steps((1, 3, 5, 9), (1, 2, 1, 0)), id="overlapping"),
        pytest.param([a("1", 1, 5), a("2", 5, 9)], Steps((1, 9), (1, 0)), id="one starts as another ends"),
        pytest.param(
            [a("1", 1, 2), a("1", 4, 6)], Steps((1, 2, 4, 6), (1, 0, 1, 0)), id="put back into the queue between"
        ),
        pytest.param([a("1", 1, 5), a("1", 3, 9)], Steps((1, 9), (1, 0)), id="one run that overlaps itself"),
        pytest.param([a("1", 1, None), a("2", 2, 3)], Steps((1, 2, 3), (1, 2, 1)), id="never ended"),
        pytest.param([a("1", 2, 5), a("2", 2, 5)], Steps((2, 5), (2, 0)), id="all at one moment"),
        pytest.param([a("1", 2, 2)], Steps((), ()), id="over as it starts"),
    ],
)
def test_the_number_changes_where_a_run_starts_or_ends(runs: list[InProgress], steps: Steps) -> None:
    """Each change is one step, and times without a change are none."""
    assert in_progress_over_time(runs) == {"a": steps}


def test_without_runs_there_are_no_code_locations() -> None:
    """Nothing is made up for an empty event log."""
    assert in_progress_over_time([]) == {}


def test_each_code_location_has_its_own_steps() -> None:
    """Runs of one code location do not count for another."""
    runs = [a("1", 0, 9), InProgress("2", "b", 1, 2)]
    assert in_progress_over_time(runs) == {"a": Steps((0, 9), (1, 0)), "b": Steps((1, 2), (1, 0))}


def test_times_are_counted_from_a_moment() -> None:
    """A chart begins at zero, not at the epoch."""
    assert in_progress_over_time([a("1", 100, 105)], since=99) == {"a": Steps((1, 6), (1, 0))}


@given(
    st.lists(
        st.builds(
            InProgress,
            run_id=st.sampled_from("12345"),
            code_location=st.sampled_from("ab"),
            start=st.integers(0, 20),
            end=st.none() | st.integers(0, 30),
        )
    ),
    st.integers(-5, 35),
)
def test_at_any_time_the_number_is_that_of_the_runs_in_progress(runs: list[InProgress], time: int) -> None:
    """The steps say what counting the runs one by one says, and none is above the peak."""
    steps = in_progress_over_time(runs)
    for name in steps:
        own = [run for run in runs if run.code_location == name]
        assert steps[name].at(time) == len({run.run_id for run in own if run.includes(time)})
        assert max(steps[name].counts, default=0) <= peak_by_code_location(runs)[name]
