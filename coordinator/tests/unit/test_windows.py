"""When windows are open: at their edges, where they follow one another, and where clocks are changed."""

from datetime import datetime, timedelta, timezone

import pytest
from clt_queued_run_coordinator.config import windows
from clt_queued_run_coordinator.config.windows import OpenWindow, Window, is_cron, open_window
from hypothesis import given
from hypothesis import strategies as st

OFFICE = Window("0 8 * * 1-5", 10 * 3600, 2)
BERLIN = "Europe/Berlin"


def utc(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def until(window: Window, text: str) -> str | None:
    """When a window closes that is open at a moment; `closed` where it isn't open."""
    found = open_window([window], utc(text))
    if found is None:
        return "closed"
    return found.until.isoformat(sep=" ")[:16] if found.until else None


@pytest.mark.parametrize(
    ("moment", "closes"),
    [
        ("2026-11-25 07:59:59.999", "closed"),
        ("2026-11-25 08:00", "2026-11-25 18:00"),
        ("2026-11-25 17:59:59.999", "2026-11-25 18:00"),
        ("2026-11-25 18:00", "closed"),
        ("2026-11-28 12:00", "closed"),
    ],
)
def test_a_window_is_open_from_its_beginning_until_just_before_its_end(moment: str, closes: str) -> None:
    """On the days that it names."""
    assert until(OFFICE, moment) == closes


@pytest.mark.parametrize(
    ("cron", "hours", "moment", "closes"),
    [
        # 29 March 2026: 2:00 becomes 3:00.
        ("0 8 * * *", 1, "2026-03-28 07:00", "2026-03-28 08:00"),
        ("0 8 * * *", 1, "2026-03-29 06:00", "2026-03-29 07:00"),
        ("0 22 * * *", 10, "2026-03-29 06:59", "2026-03-29 07:00"),
        ("30 2 * * *", 1, "2026-03-29 00:59", "closed"),
        ("30 2 * * *", 1, "2026-03-29 01:00", "2026-03-29 02:00"),
        # 25 October 2026: 3:00 becomes 2:00.
        ("0 8 * * *", 1, "2026-10-24 06:00", "2026-10-24 07:00"),
        ("0 8 * * *", 1, "2026-10-25 07:00", "2026-10-25 08:00"),
        ("0 22 * * *", 10, "2026-10-25 05:59", "2026-10-25 06:00"),
        ("30 2 * * *", 1, "2026-10-25 00:45", "closed"),
        ("30 2 * * *", 1, "2026-10-25 01:30", "2026-10-25 02:30"),
    ],
)
def test_the_cron_expression_goes_by_the_wall_clock_and_the_length_by_none(
    cron: str, hours: int, moment: str, closes: str
) -> None:
    """Around both changes of the clocks in Berlin; the moments are in UTC."""
    assert until(Window(cron, hours * 3600, 1, BERLIN), moment) == closes


@pytest.mark.parametrize(
    ("cron", "hours", "moment", "closes"),
    [
        ("0 8 * * 1-5", 24, "2026-11-23 08:00", "2026-11-28 08:00"),
        ("0 8 * * 1-5", 30, "2026-11-25 12:00", "2026-11-28 14:00"),
        ("0 8 * * 1-5", 30, "2026-11-28 14:00", "closed"),
        ("0 * * * *", 2, "2026-11-25 12:34", None),
        ("* * * * *", 10, "2026-11-25 12:34", None),
        ("0 0 29 2 *", 10, "2028-02-29 05:00", "2028-02-29 10:00"),
        ("0 0 29 2 *", 10, "2027-03-01 05:00", "closed"),
    ],
)
def test_windows_that_follow_one_another_without_a_gap_are_one(
    cron: str, hours: int, moment: str, closes: str | None
) -> None:
    """With the end of the last; none where there is no gap in sight."""
    assert until(Window(cron, hours * 3600, 1), moment) == closes


def test_of_several_open_windows_the_smallest_limit_holds() -> None:
    """With its own end."""
    night = Window("0 12 * * *", 3600, 1)
    assert open_window([OFFICE, night], utc("2026-11-25 12:30")) == OpenWindow(1, utc("2026-11-25 13:00"))
    assert open_window([OFFICE, night], utc("2026-11-25 13:00")) == OpenWindow(2, utc("2026-11-25 18:00"))
    assert open_window([], utc("2026-11-25 13:00")) is None


@given(
    cron=st.sampled_from(["0 8 * * 1-5", "*/7 1-3 * * *", "30 2 * * 0", "0 0 1 * *", "0 0 29 2 *"]),
    seconds=st.integers(1, 3 * 86400),
    zone=st.sampled_from(["UTC", BERLIN, "America/New_York"]),
    minutes=st.lists(st.integers(0, 40 * 24 * 60), min_size=1, max_size=8),
)
def test_what_is_remembered_of_a_window_changes_no_answer(
    cron: str, seconds: int, zone: str, minutes: list[int]
) -> None:
    """Whatever moments are asked for one after the other."""
    window = Window(cron, seconds, 1, zone)
    for minute in minutes:
        moment = utc("2028-02-20 00:00") + timedelta(minutes=minute)
        remembered = open_window([window], moment)
        windows._phases.clear()
        assert remembered == open_window([window], moment)


def test_a_window_is_worked_out_once_as_long_as_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next ticks remember it."""
    windows._phases.clear()
    open_window([OFFICE], utc("2026-11-25 12:00"))
    monkeypatch.setattr(windows, "cron_string_iterator", None)
    assert open_window([OFFICE], utc("2026-11-25 12:05")) == OpenWindow(2, utc("2026-11-25 18:00"))


@pytest.mark.parametrize(
    "text",
    ["0 0 31 4 *", "0 0 30,31 2 *", "0 0 31 2,4,6,9,11 *", "R 8 * * *", "@daily", "0 8 * *", "0 8 * * 1 0", "x"],
)
def test_what_never_comes_or_comes_by_chance_is_no_cron_expression(text: str) -> None:
    """It would be a window that nobody can rely on."""
    assert not is_cron(text)


@pytest.mark.parametrize("text", ["0 8 * mar fri", "0 0 29 2 *", "*/5 8-18 * * 1-5", "0 8 L * *", "0 8 * * 1#2"])
def test_what_comes_is_a_cron_expression(text: str) -> None:
    """As Dagster's schedules take them."""
    assert is_cron(text)
