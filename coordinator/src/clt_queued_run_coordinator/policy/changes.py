"""Live changes as values: what was changed, by whom and until when, and which changes are in force. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from enum import Enum

from clt_queued_run_coordinator.text.refusal import RefusalError

PREFIX = "clt_queued_run_coordinator"
EVERY_CODE_LOCATION = "*"
"""Stands for all code locations without a pause or resume of their own."""


class Kind(str, Enum):
    """The kinds of live changes, as they appear in the keys."""

    LIMIT = "limit"
    LIMIT_UNTIL = "limit-until"
    PAUSED = "paused"
    PAUSED_UNTIL = "paused-until"
    BREAKER = "breaker"


class EndHasPassedError(RefusalError):
    """The change would expire before it is made. The message is one line."""


@dataclass(frozen=True)
class Change:
    """One live change.

    Attributes:
        value: The limit, or whether the code location is paused.
        by: Who made it: a user and host, or the part of this package that did.
        at: When it was made, in UTC by the database's clock.
        until: When it expires, in UTC; None if it doesn't.
        id: A unique id. For changes written by version 2.0.0 it is made up of `by` and `at`.
    """

    value: int
    by: str
    at: datetime
    until: datetime | None = None
    reason: str | None = None
    id: str = ""


def now() -> datetime:
    """The time by this machine's clock, in UTC."""
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class LiveChanges:
    """The live changes in force, by code location; those that expire are beside those that don't.

    Attributes:
        pauses: Pauses and resumes.
        unreadable: A line for each stored value that can't be read and is not applied.
        breakers: The open circuit breakers.
        read_at: When they were read, in UTC by the database's clock.
    """

    limits: Mapping[str, Change] = field(default_factory=dict)
    pauses: Mapping[str, Change] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    limits_until: Mapping[str, Change] = field(default_factory=dict)
    pauses_until: Mapping[str, Change] = field(default_factory=dict)
    breakers: Mapping[str, Change] = field(default_factory=dict)
    read_at: datetime = field(default_factory=now)

    def limit(self, code_location: str) -> Change | None:
        """The live limit of a code location, if it has one."""
        return self.limits_until.get(code_location) or self.limits.get(code_location)

    def pause(self, code_location: str) -> Change | None:
        """The pause in force for a code location; of several, the one that lasts longest.

        A pause or resume of its own that doesn't expire overrides the pauses of all code locations.
        """
        pauses: list[Change] = []
        for name in (code_location, EVERY_CODE_LOCATION):
            stays, ends = self.pauses.get(name), self.pauses_until.get(name)
            pauses += [change for change in (stays, ends) if change and change.value]
            if stays:
                break
        return max(pauses, key=lambda change: change.until or _NEVER, default=None)

    @property
    def code_locations(self) -> set[str]:
        """The names of all code locations with a live change."""
        names = {*self.limits, *self.pauses, *self.limits_until, *self.pauses_until, *self.breakers}
        return names - {EVERY_CODE_LOCATION}

    @property
    def pause_ids(self) -> set[str]:
        """The ids of the pauses."""
        changes = [*self.pauses.values(), *self.pauses_until.values()]
        return {change.id for change in changes if change.value}

    def at(self, moment: datetime) -> "LiveChanges":
        """The changes that are still in force at a later moment, in UTC."""

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
    """Whether a change has expired at a moment, in UTC."""
    return change.until is not None and change.until <= moment


def iso(moment: datetime | None) -> str | None:
    """A moment as ISO 8601 in UTC, to the second."""
    return None if moment is None else moment.astimezone(timezone.utc).isoformat(timespec="seconds")
