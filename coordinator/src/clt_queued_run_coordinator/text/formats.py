"""How numbers and times are written for people. Pure."""

from datetime import datetime, timezone


def duration(seconds: float) -> str:
    """A length of time in its two largest units, such as `1h 5m`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"


def signed_duration(seconds: float) -> str:
    """A length of time with its sign if it is below 0."""
    return f"-{duration(-seconds)}" if seconds <= -1 else duration(abs(seconds))


def timestamp(time: datetime | str) -> str:
    """A time, or its text in ISO 8601, in UTC; without the seconds if it is a whole minute."""
    time = (datetime.fromisoformat(time) if isinstance(time, str) else time).astimezone(timezone.utc)
    return f"{time:%Y-%m-%d %H:%M:%S UTC}" if time.second else f"{time:%Y-%m-%d %H:%M UTC}"


def ordinal(number: int) -> str:
    """A place in an order: 1st, 2nd, 3rd, 4th, and 11th to 13th."""
    last_two, last = number % 100, number % 10
    ending = "th" if last_two in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(last, "th")
    return f"{number}{ending}"


def count(number: int, of: str) -> str:
    """A number of things, such as `1 run` or `2 runs`."""
    return f"{number} {of}{'' if number == 1 else 's'}"
