"""Live changes as values: what was changed, by whom, until when, and what is in force. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from enum import Enum

PREFIX = "clt_queued_run_coordinator"
EVERY_CODE_LOCATION = "*"
"""Stands for every code location that has no pause or resume of its own."""


class Kind(str, Enum):
    """The kinds of live changes, as their keys name them."""

    LIMIT = "limit"
    LIMIT_UNTIL = "limit-until"
    PAUSED = "paused"
    PAUSED_UNTIL = "paused-until"
    BREAKER = "breaker"


class EndHasPassedError(Exception):
    """A change would have ended before it was made; the message is one line."""


@dataclass(frozen=True)
class Change:
    """One live change.

    Attributes:
        value: The limit, or whether the code location is paused.
        by: Who made it: the operating system's user and the host, or a part of this package.
        at: When, in UTC by the database's clock.
        until: When it ends by itself, in UTC; None if it doesn't.
        reason: Why it was made, if that was said.
        id: Tells it from every other change; made of who and when where version 2.0.0 wrote it.
    """

    value: int
    by: str
    at: datetime
    until: datetime | None = None
    reason: str | None = None
    id: str = ""


def now() -> datetime:
    """This machine's moment, in UTC."""
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class LiveChanges:
    """Every live change in force.

    Attributes:
        limits: Those that stay, by code location.
        pauses: Those that stay, by code location, resumed ones included.
        unreadable: A line for each stored value that could not be understood and is not applied.
        limits_until: The limits that end by themselves.
        pauses_until: The pauses that end by themselves.
        breakers: The circuit breakers that are open.
        read_at: The moment that they were in force at, in UTC by the database's clock.
    """

    limits: Mapping[str, Change] = field(default_factory=dict)
    pauses: Mapping[str, Change] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    limits_until: Mapping[str, Change] = field(default_factory=dict)
    pauses_until: Mapping[str, Change] = field(default_factory=dict)
    breakers: Mapping[str, Change] = field(default_factory=dict)
    read_at: datetime = field(default_factory=now)

    def limit(self, code_location: str) -> Change | None:
        """The limit set live, if one is."""
        return self.limits_until.get(code_location) or self.limits.get(code_location)

    def pause(self, code_location: str) -> Change | None:
        """The pause that holds a code location, if one does; of several the one that holds longest.

        A pause or resume of its own that stays beats those of all code locations.
        """
        pauses: list[Change] = []
        for name in (code_location, EVERY_CODE_LOCATION):
            stays, ends = self.pauses.get(name), self.pauses_until.get(name)
            pauses += [change for change in (stays, ends) if change and change.value]
            if stays:
                break
        return max(pauses, key=lambda change: change.until or _NEVER, default=None)

    def breaker(self, code_location: str) -> Change | None:
        """The open circuit breaker that holds a code location, if one does."""
        return self.breakers.get(code_location)

    @property
    def code_locations(self) -> set[str]:
        """The names that a change was made for."""
        names = {*self.limits, *self.pauses, *self.limits_until, *self.pauses_until, *self.breakers}
        return names - {EVERY_CODE_LOCATION}

    @property
    def pause_ids(self) -> set[str]:
        """The ids of the pauses."""
        changes = [*self.pauses.values(), *self.pauses_until.values()]
        return {change.id for change in changes if change.value}

    def at(self, moment: datetime) -> "LiveChanges":
        """What of it is still in force at a later moment, in UTC."""

        def lasting(changes: Mapping[str, Change]) -> dict[str, Change]:
            return {name: change for name, change in changes.items() if not has_ended(change, moment)}

        return replace(
            self,
            limits=lasting(self.limits),
            pauses=lasting(self.pauses),
            limits_until=lasting(self.limits_until),
            pauses_until=lasting(self.pauses_until),
            breakers=lasting(self.breakers),
            read_at=moment,
        )


_NEVER = datetime.max.replace(tzinfo=timezone.utc)


def has_ended(change: Change, moment: datetime) -> bool:
    """Whether a change is over at a moment, in UTC."""
    return change.until is not None and change.until <= moment


def iso(moment: datetime | None) -> str | None:
    """A moment as ISO 8601 in UTC, to the second."""
    return None if moment is None else moment.astimezone(timezone.utc).isoformat(timespec="seconds")
