"""Times with another limit, in the configuration: a cron expression says when each begins. Pure.

The expressions are read by Dagster's own cron library, the one that its schedules run by, with what it does when
the clocks are changed: a beginning that is skipped comes right after the gap, one that comes twice counts the
second time. A window lasts its time by the clock that isn't changed.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from zoneinfo import ZoneInfo

from clt_queued_run_coordinator._dagster import cron_string_iterator, is_valid_cron_string

LONGEST = timedelta(days=366)
"""The longest that a window lasts."""

_BEGINNINGS_AHEAD = 500
"""How many beginnings, of a year at most, are looked at for the end of windows that follow one another without a
gap."""

_RECOMPUTED_AFTER = timedelta(hours=1)
"""How often a window is worked out anew even where nothing changes, in case the library overlooked a beginning."""

_BY_CHANCE = re.compile(r"(?<![a-z])r", re.IGNORECASE)
_LEAP_DAY = " 29 2 *"


@dataclass(frozen=True)
class Window:
    """A time with another limit.

    Attributes:
        cron: When it begins.
        seconds: How long it lasts.
        limit: The most runs in progress at once while it lasts.
        timezone: The cron expression's.
    """

    cron: str
    seconds: int
    limit: int
    timezone: str = "UTC"


@dataclass(frozen=True)
class OpenWindow:
    """A window that is open.

    Attributes:
        limit: The most runs in progress at once.
        until: When it closes, in UTC; None where no end is in sight.
    """

    limit: int
    until: datetime | None


@dataclass(frozen=True)
class _Phase:
    """A time, its end not included, all along which a window is open, or closed."""

    begin: datetime
    end: datetime
    is_open: bool
    until: datetime | None = None


_phases: dict[Window, _Phase] = {}
"""The phase of each window that was found last, since cron expressions are slow to work out. Nothing else comes of
it than would come without."""


def open_window(windows: Iterable[Window], moment: datetime) -> OpenWindow | None:
    """The open window with the smallest limit; None where none is open.

    Args:
        windows: Some windows.
        moment: In UTC. A window is open from its beginning on, and no longer at its end.
    """
    limits = [
        OpenWindow(window.limit, phase.until)
        for window in windows
        if (phase := _phase_at(window, moment)) and phase.is_open
    ]
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
        return _Phase(moment, anew if begin is None else min(begin, anew), is_open=False)
    end = begin + lasts
    follows = None
    for follows in islice(beginnings, _BEGINNINGS_AHEAD):
        if follows > end:
            return _Phase(moment, min(end, anew), is_open=True, until=end)
        end = follows + lasts
        if follows > moment + LONGEST:
            break
    # The same, where the cron expression has no further beginning or too many of them to find the end.
    return _Phase(moment, min(end, anew), is_open=True, until=end if follows is None else None)


def _beginnings_after(window: Window, moment: datetime) -> Iterator[datetime]:
    """When a window begins after a moment, in UTC, one after the other."""
    # Dagster finds a 29 February by the day before, so it needs that to lie ahead.
    start = moment - timedelta(days=1) if window.cron.endswith(_LEAP_DAY) else moment
    try:
        for begin in cron_string_iterator(start.timestamp(), window.cron, window.timezone):
            in_utc = begin.astimezone(timezone.utc)
            if in_utc > moment:
                yield in_utc
    except Exception:  # noqa: BLE001 - its checks of itself fail where no date is found; a tick goes on
        return


def is_cron(text: str) -> bool:
    """Whether a text is a cron expression with five fields that says when something begins, and not by chance."""
    if len(text.split()) != 5 or _BY_CHANCE.search(text):  # noqa: PLR2004 - as the docstring says
        return False
    try:
        return is_valid_cron_string(text) and next(cron_string_iterator(0, text, "UTC"), None) is not None
    except Exception:  # noqa: BLE001 - 31 April never comes, and a cron library can raise whatever it likes
        return False


def is_timezone(text: str) -> bool:
    """Whether a text is the name of a time zone that this machine knows."""
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True
