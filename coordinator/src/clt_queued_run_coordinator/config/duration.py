"""Durations and times as people write them, such as `1h30m` or `2026-12-24T18:00+01:00`. Pure."""

import re
from datetime import datetime, timedelta, timezone

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_FORM = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?")

EXAMPLES = "such as 45s, 30m, 2h, 1d or 1h30m"
"""Valid durations, for messages."""

LONGEST = timedelta(days=366)
"""The longest duration that can be configured."""

LATEST = datetime(9000, 1, 1, tzinfo=timezone.utc)
"""The latest end of a change: calculating with a later one could overflow."""


def seconds_of(text: str) -> int:
    """The seconds in a duration: whole numbers followed by d, h, m or s, in this order.

    Raises:
        ValueError: The text is not a duration, or the duration is 0.
    """
    match = _FORM.fullmatch(text.strip())
    numbers = match.groups(0) if match else ()
    seconds = sum(int(number) * length for number, length in zip(numbers, _SECONDS.values(), strict=False))
    if not seconds:
        raise ValueError(f"{text!r} is not a duration; write one {EXAMPLES}")
    return seconds


def moment_of(text: str) -> datetime:
    """A date and time with an offset, such as `2026-12-24T18:00+01:00`, in UTC.

    Raises:
        ValueError: The text isn't one, lacks its offset, or is too far in the future.
    """
    bare = text.strip()
    try:
        # Python 3.10 doesn't know the Z.
        time = datetime.fromisoformat(f"{bare[:-1]}+00:00" if bare[-1:] in {"Z", "z"} else bare)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date and time; write one such as 2026-12-24T18:00+01:00") from error
    if time.tzinfo is None:
        raise ValueError(
            f"{text!r} lacks its offset from UTC; write it such as 2026-12-24T18:00+01:00, or"
            " 2026-12-24T17:00Z for UTC"
        )
    try:
        in_utc = time.astimezone(timezone.utc)
    except OverflowError:  # in UTC it is in the year 0 or 10000
        in_utc = LATEST if time.year > 1 else datetime.min.replace(tzinfo=timezone.utc)
    if in_utc >= LATEST:
        raise ValueError(f"{text!r} is too far in the future; leave it out for a change without end")
    return in_utc


def end_of(text: str) -> datetime | timedelta:
    """When something ends: a date and time, or how long it lasts; raises as `moment_of` and `seconds_of` do."""
    return moment_of(text) if "-" in text or ":" in text else timedelta(seconds=seconds_of(text))


def text_of(seconds: float) -> str:
    """A duration as people write it, to the second."""
    left, parts = int(seconds), []
    for unit, length in _SECONDS.items():
        number, left = divmod(left, length)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
