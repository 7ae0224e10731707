"""The limit in force for a code location, and where it comes from. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.config.windows import open_window
from clt_queued_run_coordinator.policy.changes import Change, LiveChanges
from clt_queued_run_coordinator.policy.tag_limits import limits_code_location


class Source(str, Enum):
    """Where a limit comes from."""

    NONE = "none"
    DEFAULT = "default"
    CONFIGURATION = "configuration"
    TAG_LIMIT = "tag_concurrency_limits"
    WINDOW = "window"
    LIVE = "live"
    BREAKER = "breaker"
    PAUSED = "paused"


@dataclass(frozen=True)
class LimitInForce:
    """The limit in force for one code location; None for no limit.

    Attributes:
        change: The live change that sets the limit, if one does.
        until: When it expires, in UTC; None if it doesn't.
    """

    limit: int | None
    source: Source
    change: Change | None = None
    until: datetime | None = None


def resolve(code_location: str, settings: Settings, live: LiveChanges) -> LimitInForce:
    """The limit in force for a code location.

    The first of these that exists decides: a pause, an open circuit breaker, a live limit, an open window, the
    code location's entry, the default. If one of Dagster's own tag limits limits it too, the smaller limit is in
    force. Dagster itself would let the last of two entries for the same value win.
    """
    configured = settings.code_location_limits
    entry = configured.entry(code_location)
    for source, hold in (
        (Source.PAUSED, live.pause(code_location)),
        (Source.BREAKER, live.breakers.get(code_location)),
    ):
        if hold:
            return LimitInForce(0, source, hold, hold.until)
    change = live.limit(code_location)
    window = None if change else open_window(entry.windows, live.read_at)
    if change:
        in_force = LimitInForce(change.value, Source.LIVE, change, change.until)
    elif window:
        in_force = LimitInForce(window.limit, Source.WINDOW, until=window.until)
    else:
        named = Source.DEFAULT if entry is configured.default else Source.CONFIGURATION
        in_force = LimitInForce(entry.limit, Source.NONE if entry.limit is None else named)
    for tag_limit in settings.tag_concurrency_limits:
        if limits_code_location(tag_limit, code_location) and (
            in_force.limit is None or tag_limit["limit"] < in_force.limit
        ):
            in_force = LimitInForce(tag_limit["limit"], Source.TAG_LIMIT)
    return in_force
