"""Stored live changes, understood or told."""

import json

from clt_queued_run_coordinator.limits.live import PREFIX, parse
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


@given(st.sampled_from(["limit", "paused", "other"]), st.text() | json_values.map(json.dumps))
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
