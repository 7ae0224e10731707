"""Durations as people write them, such as `90s`, `30m`, `2h`, `1d` or `1h30m`. Pure."""

import re
from datetime import timedelta

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_FORM = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?")

EXAMPLES = "such as 45s, 30m, 2h, 1d or 1h30m"
"""Valid durations, for messages."""

LONGEST = timedelta(days=366)
"""The longest duration that can be configured."""


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


def text_of(seconds: float) -> str:
    """A duration as people write it, to the second."""
    left, parts = int(seconds), []
    for unit, length in _SECONDS.items():
        number, left = divmod(left, length)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
