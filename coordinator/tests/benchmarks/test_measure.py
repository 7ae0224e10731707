"""Goals and rows of the benchmarks."""

import pytest
from benchmarks.measure import NOTHING, Goal, Row
from benchmarks.report import as_data, table


@pytest.mark.parametrize(
    ("goal", "ours", "other", "reached", "text"),
    [
        (Goal(ratio=0.025), 0.5, 20.0, True, "at most 0.025 times"),
        (Goal(ratio=1.1), 1.2, 1.0, False, "at most 1.10 times"),
        (Goal(least_ratio=3), 30.0, 10.0, True, "at least 3.00 times"),
        (Goal(least_ratio=3), 29.0, 10.0, False, "at least 3.00 times"),
        (Goal(more=0.015), 0.03, 0.02, True, "at most 15.0 ms more"),
        (Goal(most=1), 2.0, 5.0, False, "at most 1.00 s"),
    ],
)
def test_a_goal_tells_whether_it_is_reached(
    goal: Goal, ours: float, other: float, reached: bool, text: str
) -> None:
    """Each part of it, and in words."""
    assert goal.reached(ours, other) == reached
    assert goal.text("s") == text


def test_a_row_can_show_ours_alone() -> None:
    """It has neither a ratio nor a value beside it, and may have a goal."""
    row = Row("sqlite_counts", "50,000 finished", "s", [0.02, 0.03, 0.9], [], NOTHING, Goal(most=0.05))
    data = as_data([row], "16.14")["rows"][0]
    assert (row.ratio, row.reached, data["ours"], data["theirs"]) == (None, True, 0.03, None)
    assert [next(iter(column.cells)) for column in table([row]).columns][3:6] == ["30.0 ms", "", ""]
