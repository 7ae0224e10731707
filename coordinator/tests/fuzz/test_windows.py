"""Windows with any cron expression, length and time zone: refused when loaded, or worked out at any moment."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.config.parsing import parse
from clt_queued_run_coordinator.config.windows import open_window
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.strategies import damaged, json_values
from tests.fuzz.tried import TRIED

field = st.sampled_from(
    ["*", "*/5", "0-7", "1,3", "2", "29", "30,31", "jan", "mon", "l5", "5#5", "L", "*/99999999"]
)
right = st.builds(
    lambda minute, hour, day, month, weekday: f"{minute} {hour} {day} {month} {weekday}",
    st.sampled_from(["0", "*", "*/7", "30"]),
    st.sampled_from(["8", "*", "2", "8-18", "22,23"]),
    st.sampled_from(["*", "1", "29", "L", "31"]),
    st.sampled_from(["*", "2", "4", "1-6", "mar"]),
    st.sampled_from(["*", "1-5", "0", "5#5", "fri"]),
)
crons = (
    right
    | st.lists(field, min_size=5, max_size=5).map(" ".join)
    | right.flatmap(lambda text: damaged(text.encode()).map(lambda content: content.decode(errors="replace")))
)
zones = st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "../etc", "Mars/Olympus"])
window: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"cron": crons, "for": st.sampled_from(["1s", "10h", "1d", "366d", "367d"]), "limit": st.integers(0, 9)},
    optional={"timezone": zones},
)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(timezone.utc))


@pytest.mark.timeout(1800)
@settings(max_examples=400)
@given(windows=st.lists(window, min_size=1, max_size=2) | json_values, moment=moments)
def test_any_windows(windows: Any, moment: datetime) -> None:
    """A message with the key, or an answer."""
    TRIED["windows"] += 1
    try:
        limits = parse({"default": {"windows": windows}})
    except ConfigurationError as error:
        assert str(error).startswith("code_location_limits.default.windows")  # noqa: PT017 - or it is taken
        return
    for later in (timedelta(0), timedelta(seconds=5), timedelta(days=200)):
        found = open_window(limits.default.windows, moment + later)
        assert found is None or found.until is None or found.until > moment + later
