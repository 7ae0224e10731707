"""Stored live changes, understood or told."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from clt_queued_run_coordinator.policy.changes import PREFIX, Change, LiveChanges
from clt_queued_run_coordinator.store.live import parse
from hypothesis import given
from hypothesis import strategies as st

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
)
AT = "2026-01-01T12:00:00+00:00"


def test_a_limit_and_a_pause() -> None:
    """Each under a key of its own; a name may hold a slash."""
    stored = [
        (f"{PREFIX}/limit/team/a", json.dumps({"value": 3, "by": "me@host", "at": AT})),
        (f"{PREFIX}/paused/b", json.dumps({"value": True, "by": "me@host", "at": AT})),
    ]
    changes = parse(stored)
    assert changes.limits["team/a"].value == 3
    assert changes.pause("b")
    assert changes.code_locations == {"team/a", "b"}
    assert changes.unreadable == ()


@given(
    st.sampled_from(["limit", "limit-until", "paused", "paused-until", "breaker", "other"]),
    st.text() | json_values.map(json.dumps),
)
def test_whatever_is_stored_is_understood_or_told_with_its_key(kind: str, text: str) -> None:
    """Nothing that stands in the database stops a tick."""
    key = f"{PREFIX}/{kind}/a"
    changes = parse([(key, text)])
    for line in changes.unreadable:
        assert key in line
    for change in changes.limits.values():
        assert change.value >= 0


@given(json_values.map(lambda value: json.dumps({"value": value, "by": "me", "at": AT})))
def test_only_a_whole_number_is_a_limit(text: str) -> None:
    """Anything else is told, but null, which takes a limit back."""
    value = json.loads(text)["value"]
    changes = parse([(f"{PREFIX}/limit/a", text)])
    is_limit = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    assert bool(changes.limits) == is_limit
    assert bool(changes.unreadable) == (not is_limit and value is not None)


def test_what_ends_holds_until_just_before_its_end() -> None:
    """Whatever offset its end is written with."""
    stored = {"value": True, "by": "me@host", "at": AT, "until": "2026-01-01T15:00:00+02:00", "reason": "why"}
    at = datetime(2026, 1, 1, 13, tzinfo=timezone.utc)
    pair = (f"{PREFIX}/paused-until/a", json.dumps(stored))
    before = parse([pair], at - timedelta(milliseconds=1))
    pause = before.pause("a")
    assert pause
    assert (pause.until, pause.reason) == (at, "why")
    assert before.at(at).pause("a") is None
    assert parse([pair], at).code_locations == set()


@pytest.mark.parametrize("until", [None, "soon", 3, "9999-12-31T23:59:00-14:00", ["2026"]])
def test_an_end_that_is_missing_or_wrong_is_told(until: object) -> None:
    """A pause that should have ended must not hold for ever."""
    stored = {"value": True, "by": "me", "at": AT, "until": until}
    changes = parse([(f"{PREFIX}/paused-until/a", json.dumps(stored))])
    assert changes.pause("a") is None
    assert len(changes.unreadable) == 1


@given(st.text(), st.text(max_size=600))
def test_whoever_and_whyever_fit_into_a_line(by: str, reason: str) -> None:
    """A database can hold what a terminal shouldn't be shown."""
    text = json.dumps({"value": 3, "by": by, "at": AT, "reason": reason})
    change = parse([(f"{PREFIX}/limit/a", text)]).limit("a")
    assert change
    assert (change.by + (change.reason or "")).isprintable()
    assert len(change.reason or "") <= 500


def test_a_resume_of_its_own_beats_the_pause_of_all_and_a_pause_that_ends_beats_it() -> None:
    """Which is how `resume LOCATION` and then `pause --all --for` hold."""
    at = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
    resumed, paused = Change(0, "me", at), Change(1, "me", at)
    ends = Change(1, "me", at, until=at + timedelta(hours=1))
    assert LiveChanges({}, {"a": resumed, "*": paused}).pause("a") is None
    assert LiveChanges({}, {"a": resumed, "*": paused}, pauses_until={"a": ends}).pause("a") == ends
    assert LiveChanges({}, {"*": paused}, pauses_until={"a": ends}).pause("a") == paused
    assert LiveChanges({}, {"a": resumed}, pauses_until={"*": ends}).pause("a") is None
    assert LiveChanges({}, {}, pauses_until={"*": ends}).pause("a") == ends
