"""Windows: times with a different limit, each of which begins at a cron expression. Pure.

Dagster's own cron library reads the expressions, as it does for schedules, and so decides what happens when the
clocks change. A start that the change skips comes right after the gap. Of a start that comes twice, the second one
counts. The length of a window is elapsed time, which no clock change affects.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Annotated
from zoneinfo import ZoneInfo

from clt_queued_run_coordinator._dagster import cron_string_iterator, is_valid_cron_string
from clt_queued_run_coordinator.config.duration import LONGEST
from clt_queued_run_coordinator.config.kinds import Duration, Runs, checked, option

_BEGINNINGS_AHEAD = 500
"""How many starts, within a year at most, are examined to find the end of windows that follow each other without a
gap."""

_RECOMPUTED_AFTER = timedelta(hours=1)
"""How often a window is computed again even if nothing should have changed, in case the library missed a start."""

_BY_CHANCE = re.compile(r"(?<![a-z])r", re.IGNORECASE)
_LEAP_DAY = " 29 2 *"


def is_cron(text: str) -> bool:
    """Whether a text is a cron expression of five fields that fires at some time, and not at a random one."""
    if len(text.split()) != 5 or _BY_CHANCE.search(text):  # noqa: PLR2004 - as the docstring says
        return False
    try:
        return is_valid_cron_string(text) and next(cron_string_iterator(0, text, "UTC"), None) is not None
    except Exception:  # noqa: BLE001 - the library raises all kinds of errors, for instance for 31 April
        return False


def is_timezone(text: str) -> bool:
    """Whether a text names a time zone that this machine knows."""
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True


_CRON = checked(str, "a cron expression of five fields that fires some day, such as '0 8 * * 1-5'", is_cron)
_TIMEZONE = checked(str, "the name of a time zone, such as 'Europe/Berlin'", is_timezone)


@dataclass(frozen=True)
class Window:
    """A time with a different limit."""

    cron: Annotated[str, _CRON] = option("When the window begins, such as `0 8 * * 1-5`.")
    seconds: Duration = option("How long it lasts, such as `10h`.", key="for")
    limit: Runs = option("The limit while it lasts; 0 starts no runs.")
    timezone: Annotated[str, _TIMEZONE] = option("The cron expression's time zone; UTC if left out.", "UTC")


@dataclass(frozen=True)
class OpenWindow:
    """An open window's limit, and when it closes, in UTC; None if no end is in sight."""

    limit: int
    until: datetime | None


@dataclass(frozen=True)
class _Phase:
    """A time span, end excluded, during which a window is either open or closed throughout."""

    begin: datetime
    end: datetime
    open: OpenWindow | None = None


_phases: dict[Window, _Phase] = {}
"""The current phase of each window, a cache because evaluating cron expressions is slow. It changes no result."""


def open_window(windows: Iterable[Window], moment: datetime) -> OpenWindow | None:
    """The open window with the smallest limit at a moment in UTC; None if none is open.

    A window is open at its start, and closed at its end.
    """
    limits = [phase.open for phase in (_phase_at(window, moment) for window in windows) if phase.open]
    return min(limits, key=lambda window: window.limit, default=None)


def _phase_at(window: Window, moment: datetime) -> _Phase:
    phase = _phases.get(window)
    if phase is None or not phase.begin <= moment < phase.end:
        phase = _phases[window] = _phase(window, moment)
    return phase


def _phase(window: Window, moment: datetime) -> _Phase:
    lasts = timedelta(seconds=window.seconds)
    anew = moment + _RECOMPUTED_AFTER
    beginnings = _beginnings_after(window, moment - lasts)
    begin = next(beginnings, None)
    if begin is None or begin > moment:
        return _Phase(moment, anew if begin is None else min(begin, anew))
    end = begin + lasts
    follows = None
    for follows in islice(beginnings, _BEGINNINGS_AHEAD):
        if follows > end:
            return _Phase(moment, min(end, anew), OpenWindow(window.limit, end))
        end = follows + lasts
        if follows > moment + LONGEST:
            break
    # There are no further starts, or too many to find the end.
    return _Phase(moment, min(end, anew), OpenWindow(window.limit, None if follows else end))


def _beginnings_after(window: Window, moment: datetime) -> Iterator[datetime]:
    """The starts of a window after a moment, in UTC."""
    # Dagster finds 29 February from the day before, so that day has to lie ahead.
    start = moment - timedelta(days=1) if window.cron.endswith(_LEAP_DAY) else moment
    try:
        for begin in cron_string_iterator(start.timestamp(), window.cron, window.timezone):
            in_utc = begin.astimezone(timezone.utc)
            if in_utc > moment:
                yield in_utc
    except Exception:  # noqa: BLE001 - the library's assertions fail where it finds no date; the tick goes on
        return
