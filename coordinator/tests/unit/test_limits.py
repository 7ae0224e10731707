"""Which limit is in force, and as which tag limits the daemon gets it."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from clt_queued_run_coordinator.config.options import CodeLocationEntry, CodeLocationLimits
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.config.windows import Window
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION, Change, LiveChanges
from clt_queued_run_coordinator.policy.in_force import Source, resolve
from clt_queued_run_coordinator.policy.tag_limits import (
    CODE_LOCATION_KEYS,
    as_tag_limits,
    code_locations_named_in,
)

A = "code-location-a"
PER_VALUE = {"applyLimitPerUniqueValue": True}
CONFIGURED = CodeLocationLimits(default=CodeLocationEntry(5), entries={A: CodeLocationEntry(10, weight=2.0)})


def change(value: int, minute: int = 0) -> Change:
    """A live change."""
    return Change(value, "somebody@host", datetime(2026, 1, 1, 12, minute, tzinfo=timezone.utc))


def tag_limit(limit: int, value: Any = A) -> dict[str, Any]:
    """One of Dagster's own tag limits."""
    return {"key": CLT_TAG_KEY, "value": value, "limit": limit}


@pytest.mark.parametrize(
    ("code_location", "live", "tag_limits", "expected"),
    [
        ("code-location-new", LiveChanges(), [], (5, Source.DEFAULT)),
        (A, LiveChanges(), [], (10, Source.CONFIGURATION)),
        (A, LiveChanges(), [tag_limit(3)], (3, Source.TAG_LIMIT)),
        (A, LiveChanges(), [tag_limit(30)], (10, Source.CONFIGURATION)),
        (A, LiveChanges(), [tag_limit(3, PER_VALUE)], (3, Source.TAG_LIMIT)),
        (A, LiveChanges(), [tag_limit(9), tag_limit(3), tag_limit(8)], (3, Source.TAG_LIMIT)),
        (A, LiveChanges({A: change(20)}), [], (20, Source.LIVE)),
        (A, LiveChanges({A: change(0)}), [], (0, Source.LIVE)),
        (A, LiveChanges({A: change(20)}), [tag_limit(3)], (3, Source.TAG_LIMIT)),
        (A, LiveChanges({A: change(20)}, {A: change(1)}), [], (0, Source.PAUSED)),
        (A, LiveChanges({A: change(20)}, {A: change(0)}), [], (20, Source.LIVE)),
        (A, LiveChanges({}, {EVERY_CODE_LOCATION: change(1)}), [], (0, Source.PAUSED)),
        (A, LiveChanges({}, {EVERY_CODE_LOCATION: change(1), A: change(0)}), [], (10, Source.CONFIGURATION)),
    ],
)
def test_the_limit_in_force(
    code_location: str, live: LiveChanges, tag_limits: list[dict[str, Any]], expected: tuple[int, Source]
) -> None:
    """A pause before a live limit before an entry before the default; a smaller tag limit holds beside each."""
    in_force = resolve(code_location, Settings(-1, CONFIGURED, tag_limits), live)
    assert (in_force.limit, in_force.source) == expected


WINDOW = Window("0 8 * * *", 3600, 4)
AT_EIGHT = datetime(2026, 1, 1, 8, tzinfo=timezone.utc)
WITH_WINDOW = CodeLocationLimits(
    default=CodeLocationEntry(5, windows=(WINDOW,)), entries={A: CodeLocationEntry(10, windows=(WINDOW,))}
)


@pytest.mark.parametrize(
    ("live", "tag_limits", "expected"),
    [
        (LiveChanges(read_at=AT_EIGHT), [], (4, Source.WINDOW)),
        (LiveChanges(read_at=AT_EIGHT + timedelta(hours=1)), [], (10, Source.CONFIGURATION)),
        (LiveChanges(read_at=AT_EIGHT), [tag_limit(3)], (3, Source.TAG_LIMIT)),
        (LiveChanges({A: change(20)}, read_at=AT_EIGHT), [], (20, Source.LIVE)),
        (LiveChanges({A: change(20)}, limits_until={A: change(7)}, read_at=AT_EIGHT), [], (7, Source.LIVE)),
        (LiveChanges({A: change(20)}, breakers={A: change(1)}, read_at=AT_EIGHT), [], (0, Source.BREAKER)),
        (LiveChanges({}, {A: change(1)}, breakers={A: change(1)}, read_at=AT_EIGHT), [], (0, Source.PAUSED)),
    ],
)
def test_an_open_window_replaces_the_configured_limit(
    live: LiveChanges, tag_limits: list[dict[str, Any]], expected: tuple[int, Source]
) -> None:
    """A live limit, a breaker and a pause come before it, in this order; a smaller tag limit holds beside."""
    in_force = resolve(A, Settings(-1, WITH_WINDOW, tag_limits), live)
    assert (in_force.limit, in_force.source) == expected


def test_the_windows_of_the_default_hold_for_whoever_has_no_entry() -> None:
    """With their end."""
    in_force = resolve("code-location-new", Settings(-1, WITH_WINDOW), LiveChanges(read_at=AT_EIGHT))
    assert (in_force.limit, in_force.until) == (4, AT_EIGHT + timedelta(hours=1))


def test_without_any_limit_there_is_none() -> None:
    """Nothing configured, nothing changed."""
    in_force = resolve(A, Settings(-1, CodeLocationLimits()), LiveChanges())
    assert (in_force.limit, in_force.source) == (None, Source.NONE)


def test_a_live_limit_tells_who_and_when() -> None:
    """For the view."""
    assert resolve(A, Settings(-1, CONFIGURED), LiveChanges({A: change(7)})).change == change(7)


def test_each_known_code_location_gets_a_tag_limit_and_the_others_one_per_value() -> None:
    """Dagster applies the one per value to the known ones too, so it gets the largest; people see the default."""
    limits = {"b": 9, "a": 2, "paused": 0}
    by_value = [tag_limit(2, "a"), tag_limit(9, "b"), tag_limit(0, "paused")]
    assert as_tag_limits(limits, default=5, applied=True) == [*by_value, tag_limit(9, PER_VALUE)]
    assert as_tag_limits(limits, default=5, applied=False) == [*by_value, tag_limit(5, PER_VALUE)]


@pytest.mark.parametrize("applied", [True, False])
def test_a_default_above_all_limits_is_the_one_per_value(applied: bool) -> None:
    """So a code location that is seen for the first time gets just its default."""
    assert as_tag_limits({"a": 2}, default=5, applied=applied)[-1] == tag_limit(5, PER_VALUE)


@pytest.mark.parametrize("applied", [True, False])
def test_without_a_default_nothing_is_limited_per_value(applied: bool) -> None:
    """Only the limited ones appear."""
    assert as_tag_limits({"a": 2, "b": None}, default=None, applied=applied) == [tag_limit(2, "a")]


def test_no_limit_per_value_is_applied_beside_a_code_location_without_a_limit() -> None:
    """It would limit that one too; people see the default all the same."""
    limits = {"a": 2, "b": None}
    assert as_tag_limits(limits, default=5, applied=True) == [tag_limit(2, "a")]
    assert as_tag_limits(limits, default=5, applied=False) == [tag_limit(2, "a"), tag_limit(5, PER_VALUE)]


@pytest.mark.parametrize("key", CODE_LOCATION_KEYS)
def test_configured_tag_limits_stay_and_no_two_have_the_same_key_and_value(key: str) -> None:
    """Dagster would let the last of two win. What its own tag names is no other tag."""
    configured = [
        {"key": "database", "limit": 4},
        tag_limit(9) | {"key": key},
        tag_limit(3) | {"key": key},
        tag_limit(6, PER_VALUE) | {"key": key},
        {"key": key, "limit": 20},
    ]
    assert as_tag_limits({A: 3}, default=6, configured=configured, applied=True) == [
        {"key": "database", "limit": 4},
        {"key": key, "limit": 20},
        tag_limit(3),
        tag_limit(6, PER_VALUE),
    ]
    assert code_locations_named_in(configured) == {A}


@pytest.mark.parametrize("value", [A, PER_VALUE])
def test_a_limit_on_dagsters_own_tag_is_a_limit_of_the_code_location(value: Any) -> None:
    """So `explain` and `status` show it."""
    entry = {"key": "dagster/code_location", "value": value, "limit": 3}
    in_force = resolve(A, Settings(-1, CONFIGURED, [entry]), LiveChanges())
    assert (in_force.limit, in_force.source) == (3, Source.TAG_LIMIT)
