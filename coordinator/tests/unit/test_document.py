"""Documents in the key-value store: whatever is stored, reading returns plain data or None."""

import json
import math
from typing import Any

import pytest
from clt_queued_run_coordinator.config import plain_data
from clt_queued_run_coordinator.store import document

UNREADABLE = [
    None,
    "",
    "null",
    "{",
    "not JSON",
    "[NaN]",
    "[Infinity]",
    "9" * 5000,
    "[" * 100_000,
    '["\\ud800"]',
    '{"\\udfff": 1}',
]


@pytest.mark.parametrize("text", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_read_counts_as_not_stored(text: str | None) -> None:
    """Numbers that JSON doesn't have, more digits than Python reads, deep nesting and lone surrogates."""
    assert document.parse(text) is None


@pytest.mark.parametrize("data", [[], {"a": 1}, "ü 🎉", 10**400, [1.5, None, True]])
def test_a_document_is_read_as_it_was_written(data: Any) -> None:
    """Plain data survives the way through JSON."""
    assert document.parse(json.dumps(data)) == data


@pytest.mark.parametrize("value", [None, "1", True, math.nan, math.inf, -math.inf, 10**400, [1], {}])
def test_only_finite_numbers_are_numbers(value: object) -> None:
    """A number of 400 digits is none, and neither is a bool."""
    assert plain_data.number(value) is None


@pytest.mark.parametrize("value", [None, "1", False, 1.0, -1, 2**63, 10**400])
def test_only_whole_numbers_that_a_database_holds_are_counts(value: object) -> None:
    """A count is never negative."""
    assert plain_data.count(value) is None


def test_numbers_and_counts_are_returned() -> None:
    """An int is a number as well."""
    assert (plain_data.number(-2), plain_data.number(0.5), plain_data.count(0), plain_data.count(2**63 - 1)) == (
        -2.0,
        0.5,
        0,
        2**63 - 1,
    )
