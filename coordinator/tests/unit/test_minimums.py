"""How many slots are kept, and what is refused where there are fewer."""

from typing import Any

import pytest
from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.config.options import CodeLocationLimits
from clt_queued_run_coordinator.config.parsing import parse, refuse_minimums_above_total


def limits(**option: Any) -> CodeLocationLimits:
    """The option as it is parsed."""
    return parse(option)


LIMITS = limits(
    locations={"a": {"min": 3}, "b": {"min": 2}, "c": {"min": 4}, "d": 5},
    groups={"team": {"locations": ["a", "b", "e"], "min": 4}, "other": {"locations": ["f"], "min": 1}},
)


@pytest.mark.parametrize("total", [-1, 10, 11])
def test_a_total_that_they_fit_into_is_taken(total: int) -> None:
    """And without a total nothing has to be kept."""
    refuse_minimums_above_total(LIMITS, total, "max_concurrent_runs")


def test_a_total_below_them_is_refused() -> None:
    """With who keeps what: of a group's own minimum and the sum of its code locations', the larger one."""
    with pytest.raises(ConfigurationError) as refused:
        refuse_minimums_above_total(LIMITS, 9, "max_concurrent_runs")
    assert str(refused.value) == (
        "code_location_limits reserves 10 slots (groups.team 5, locations.c 4, groups.other 1), but"
        " max_concurrent_runs is 9; lower a min, or raise the total to 10 or more."
    )


def test_of_many_the_largest_are_named() -> None:
    """One line stays one line."""
    many = limits(locations={f"code-location-{number}": {"min": number} for number in range(1, 9)})
    with pytest.raises(ConfigurationError) as refused:
        refuse_minimums_above_total(many, 0, "max_concurrent_runs")
    assert "locations.code-location-4 4, and 3 more)" in str(refused.value)
