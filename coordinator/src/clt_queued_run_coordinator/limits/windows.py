"""Times with another limit, in the configuration: a cron expression says when each begins. Pure.

The expressions are read by Dagster's own cron library, the one that its schedules run by.
"""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from clt_queued_run_coordinator._dagster import is_valid_cron_string


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


def is_cron(text: str) -> bool:
    """Whether a text is a cron expression with five fields."""
    return len(text.split()) == 5 and is_valid_cron_string(text)  # noqa: PLR2004 - as the docstring says


def is_timezone(text: str) -> bool:
    """Whether a text is the name of a time zone that this machine knows."""
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True
