"""Moments as people read them. Pure."""

from datetime import datetime, timezone


def shown(moment: datetime) -> str:
    """A moment in UTC, to the second where it isn't a whole minute."""
    moment = moment.astimezone(timezone.utc)
    return f"{moment:%Y-%m-%d %H:%M:%S UTC}" if moment.second else f"{moment:%Y-%m-%d %H:%M UTC}"
