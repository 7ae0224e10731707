"""Parts of plain data that may be anything, such as of a stored document: what they are, or nothing. Pure."""

import math
from collections.abc import Mapping
from typing import Any

_LARGEST = 2**63 - 1


def number(value: Any) -> float | None:
    """A part as a finite number; None if it isn't one."""
    try:
        found = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def count(value: Any) -> int | None:
    """A part as a number of things, from 0 to what a database's largest integer holds."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and 0 <= value <= _LARGEST else None


def mapping(value: Any) -> Mapping[str, Any]:
    """A part as a mapping; an empty one if it isn't one."""
    return value if isinstance(value, dict) else {}
