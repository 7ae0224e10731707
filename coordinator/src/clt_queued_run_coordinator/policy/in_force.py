"""The limit in force for a code location, and where it comes from. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from clt_queued_run_coordinator.config.options import CodeLocationLimits
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.config.windows import open_window
from clt_queued_run_coordinator.policy.changes import Change, LiveChanges
from clt_queued_run_coordinator.policy.tag_limits import limits_code_location

_NOBODY = "\0"
"""A name that no code location has."""


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
    """The limit in force for one code location.

    Attributes:
        limit: The most runs in progress at once; None for no limit.
        source: Where the limit comes from.
        weight: The size of the code location's share relative to the others'.
        change: The live change that sets the limit, if one does.
        until: When it expires, in UTC; None if it doesn't.
    """

    limit: int | None
    source: Source
    weight: float = 1.0
    change: Change | None = None
    until: datetime | None = None


def resolve(
    code_location: str,
    configured: CodeLocationLimits,
    live: LiveChanges,
    tag_limits: Sequence[Mapping[str, Any]] = (),
) -> LimitInForce:
    """The limit in force for a code location.

    The first of these that exists decides: a pause, an open circuit breaker, a live limit, an open window, the
    code location's entry, the default.

    Args:
        code_location: The code location's name.
        configured: The option `code_location_limits`.
        live: The live changes.
        tag_limits: Dagster's own `tag_concurrency_limits`. If one of them limits this code location too, the
            smaller limit is in force. Dagster itself would let the last of two entries for the same value win.
    """
    entry = configured.entry(code_location)
    for source, hold in (
        (Source.PAUSED, live.pause(code_location)),
        (Source.BREAKER, live.breaker(code_location)),
    ):
        if hold:
            return LimitInForce(0, source, entry.weight, hold, hold.until)
    change = live.limit(code_location)
    window = None if change else open_window(entry.windows, live.read_at)
    if change:
        in_force = LimitInForce(change.value, Source.LIVE, entry.weight, change, change.until)
    elif window:
        in_force = LimitInForce(window.limit, Source.WINDOW, entry.weight, until=window.until)
    else:
        named = Source.CONFIGURATION if code_location in configured.entries else Source.DEFAULT
        in_force = LimitInForce(entry.limit, Source.NONE if entry.limit is None else named, entry.weight)
    for tag_limit in tag_limits:
        if limits_code_location(tag_limit, code_location) and (
            in_force.limit is None or tag_limit["limit"] < in_force.limit
        ):
            in_force = LimitInForce(tag_limit["limit"], Source.TAG_LIMIT, entry.weight)
    return in_force


def limits_of(names: Iterable[str], settings: Settings, live: LiveChanges) -> dict[str, LimitInForce]:
    """The limits in force for the named code locations."""
    configured, tag_limits = settings.code_location_limits, settings.tag_concurrency_limits
    return {name: resolve(name, configured, live, tag_limits) for name in names}


def effective_limits(limits: Mapping[str, LimitInForce], settings: Settings) -> dict[str, int | None]:
    """The most runs in progress of each code location: its own limit or its group's, whichever is smaller."""
    configured = settings.code_location_limits
    most: dict[str, int | None] = {}
    for name, in_force in limits.items():
        group = configured.group(name)
        of_both = [limit for limit in (in_force.limit, group and group.limit) if isinstance(limit, int)]
        most[name] = min(of_both, default=None)
    return most


def default_limit(settings: Settings, live: LiveChanges) -> int | None:
    """The limit of a code location that is neither configured nor known yet; 0 while all are paused."""
    return limits_of([_NOBODY], settings, live)[_NOBODY].limit
