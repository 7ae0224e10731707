"""Numbers, lengths of time and names as people read them. Pure."""

import shlex


def age(seconds: float) -> str:
    """A length of time in its two largest units.

    Args:
        seconds: Its length.
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"


def ordinal(number: int) -> str:
    """A place: 1st, 2nd, 3rd, 4th, and 11th to 13th."""
    last_two, last = number % 100, number % 10
    ending = "th" if last_two in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(last, "th")
    return f"{number}{ending}"


def runs_of(number: int) -> str:
    """So many runs."""
    return f"{number} run{'' if number == 1 else 's'}"


def shell(name: str) -> str:
    """A name as a shell takes it."""
    return shlex.quote(name)
