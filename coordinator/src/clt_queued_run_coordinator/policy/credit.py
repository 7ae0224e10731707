"""Fair shares of the slots, and the credit of who has had less than its share. Pure.

The fair share of a moment is computed by water-filling: all slots are divided by weight among those that could use
them now, up to what each could use, between groups first and then within each group. It is a real number.

Credit grows by the share and falls by the slots held, per second, and is halved every `half_life`. A slot is held
from the tick that gave it to the tick that sees it free. Whoever has no run that could start has no share beyond
its runs in progress, so waiting for a pool, a pause or a code server earns nothing. A code location that is alone
has a share of every slot, so using what nobody else wants costs nothing.

A free slot goes to the greatest claim on it; see `Standing`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from clt_queued_run_coordinator.policy.claims import Claims
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION

HORIZON_SECONDS = 60.0
"""Being behind by this many seconds of its share counts as much as being one slot below it."""

LONGEST_GAP = 600.0
"""The most seconds between two ticks that count. If more have passed, the daemon was away and gave nothing."""

MOST = 1e12
"""The bound of credit, in slot-seconds."""

_NOTHING = 0.001
"""Slot-seconds below which credit is forgotten."""

_LEAST = 1e-9
"""The least share, and the least weight relative to the largest, that is distinguished from 0."""


class Standing(NamedTuple):
    """How a code location or a group stands, all in slots: its share, its credit, and what has faded of that."""

    share: float = 0.0
    behind: float = 0.0
    faded: float = 0.0

    def claim(self, held: int, dealt: int) -> float:
        """Its claim on the next slot, by the slots that it holds and was dealt at this tick; the largest gets it.

        What has faded counts only for the first slot of a tick.
        """
        # Rounded, so that equals are equal whatever way they came there.
        return round(self.share - held - dealt + self.behind + (0.0 if dealt else self.faded), 9)


def shares(claims: Claims, slots: float) -> dict[str, float]:
    """The shares of all slots, those in use included, of code locations, and of groups by their `group_key`."""
    top: dict[str, _Bounds] = {}
    within: dict[str, dict[str, _Bounds]] = {name: {} for name in claims.groups}
    for name, claim in claims.code_locations.items():
        beside = within[claims.group_of[name]] if name in claims.group_of else top
        # The slots of runs without a code location belong to nobody who could owe them.
        least = claim.in_progress if name == NO_CODE_LOCATION else min(claim.min, claim.most)
        beside[name] = _Bounds(claim.weight, least, claim.most)
    for name, group in claims.groups.items():
        most = min(group.most, sum(bounds.most for bounds in within[name].values()))
        least = max(group.min, sum(bounds.least for bounds in within[name].values()))
        top[name] = _Bounds(group.weight, min(least, most), most)
    filled = _fill(top, slots)
    for name, members in within.items():
        filled |= _fill(members, filled[name])
    return filled


@dataclass(frozen=True)
class Credit:
    """The credit of code locations and groups as of one moment, in slot-seconds.

    Attributes:
        at: The moment, in seconds since 1970; 0 for never.
        slot_seconds: The credit of each code location, and of each group by its `claims.group_key`. Who has had
            more than its share has a negative one.
        faded: What has faded of a credit since its owner last got a slot. It counts until the owner gets the next
            one. Otherwise a small share, or a short half-life, could wait for ever.
        blocked: The code locations of which no queued run could start when the runs were last looked at.
        horizon: The seconds that count as much as a slot; never less than between the last two ticks.
        rates: By how much the share of each has exceeded the slots that it held since `at`, per second.
        started: Who was given a slot at `at`.
    """

    at: float = 0.0
    slot_seconds: Mapping[str, float] = field(default_factory=dict)
    faded: Mapping[str, float] = field(default_factory=dict)
    blocked: frozenset[str] = frozenset()
    horizon: float = HORIZON_SECONDS
    rates: Mapping[str, float] = field(default_factory=dict)
    started: frozenset[str] = frozenset()

    def of(self, name: str) -> float:
        """The credit of one code location or group."""
        return self.slot_seconds.get(name, 0.0)

    def standings(self, shares: Mapping[str, float]) -> dict[str, Standing]:
        """How each of those that have a share stands.

        Credit counts for the share: it is the time by which its owner is behind.
        """
        standings = {}
        for name, share in shares.items():
            behind = self.of(name) / max(share, _LEAST)
            standings[name] = Standing(share, behind / self.horizon, self.faded.get(name, 0.0) / self.horizon)
        return standings

    def advanced(self, now: float, half_life: float) -> "Credit":
        """The credit as of a later moment, in seconds since 1970. If the clock went back, no time has passed."""
        passed = max(0.0, now - self.at) if self.at else 0.0
        seconds = min(passed, LONGEST_GAP)
        fading = math.log(2) / max(half_life, _LEAST)
        # What has been earned meanwhile has faded meanwhile, too.
        kept, earned = math.exp(-fading * passed), -math.expm1(-fading * seconds) / fading
        credit: dict[str, float] = {}
        faded: dict[str, float] = {}
        for name in {*self.slot_seconds, *self.rates}:
            before, rate = self.of(name), self.rates.get(name, 0.0)
            after = min(MOST, max(-MOST, before * kept + rate * earned))
            if abs(after) > _NOTHING:
                credit[name] = after
            if rate > 0 and name not in self.started:
                lost = self.faded.get(name, 0.0) + max(0.0, before + rate * seconds - max(0.0, after))
                faded[name] = min(MOST, max(0.0, lost))
        horizon = max(HORIZON_SECONDS, seconds)
        return Credit(now, credit, faded, self.blocked, horizon)


class Ledger:
    """Keeps the credit from tick to tick.

    At the end of a tick it is told who holds what and who could start more. At the next one that is settled, when
    it is known which of the offered runs have started.
    """

    def __init__(self) -> None:
        self.credit = Credit()
        """The credit as of the last tick."""
        self._claims: Claims | None = None
        self._slots = math.inf
        self._starts: Mapping[str, int] = {}

    def settle(self, now: float, came_back: Mapping[str, int], half_life: float) -> Credit:
        """Settle the time since the last tick; returns the credit by now. After a restart, credit has only faded.

        Of whom offered runs came back, nothing could start, because its code server didn't answer. So it had no
        share beyond its runs in progress.
        """
        if self._claims is None:
            self.credit = replace(self.credit, rates={}, started=frozenset())
        elif came_back:
            claims = self._claims.after({name: -runs for name, runs in came_back.items()}, came_back)
            self._owe(claims, {name: runs - came_back.get(name, 0) for name, runs in self._starts.items()})
        self.credit = self.credit.advanced(now, half_life)
        self._claims = None
        return self.credit

    def record(
        self, claims: Claims, slots: float, starts: Mapping[str, int], blocked: frozenset[str] | None = None
    ) -> None:
        """Record what everybody has from now on: all slots, and the claims before this tick's starts.

        No further run could start of those that are blocked; None if nobody has looked.
        """
        if blocked is not None:
            self.credit = replace(self.credit, blocked=blocked)
        self._claims = claims.after(starts, self.credit.blocked)
        self._slots, self._starts = slots, starts
        self._owe(self._claims, starts)

    def _owe(self, claims: Claims, starts: Mapping[str, int]) -> None:
        due = shares(claims, self._slots)
        started = {name for name, runs in starts.items() if runs > 0}
        groups = {claims.group_of[name] for name in started & claims.group_of.keys()}
        rates = {name: due[name] - held for name, held in claims.held.items()}
        self.credit = replace(self.credit, rates=rates, started=frozenset(started | groups))


class _Bounds(NamedTuple):
    """The weight of who shares, and the least and the most that it gets."""

    weight: float
    least: int
    most: int


def _fill(parties: Mapping[str, _Bounds], slots: float) -> dict[str, float]:
    """Divide slots by weight; whoever has all that it could use leaves the rest to the others."""
    if sum(party.most for party in parties.values()) <= slots:
        return {name: float(party.most) for name, party in parties.items()}
    least = sum(party.least for party in parties.values())
    if least >= slots:
        return {name: party.least * slots / least if least else 0.0 for name, party in parties.items()}
    heaviest = max(party.weight for party in parties.values())
    weights = {name: max(party.weight / heaviest, _LEAST) for name, party in parties.items()}
    # The level rises from 0. Each party joins at its least and leaves at its most.
    joins = [(party.least / weights[name], weights[name]) for name, party in parties.items()]
    leaves = [(party.most / weights[name], -weights[name]) for name, party in parties.items()]
    level, rising, filled = 0.0, 0.0, float(least)
    for at, change in sorted([*joins, *leaves]):
        if rising > _LEAST / 2 and filled + rising * (at - level) >= slots:
            break
        filled += rising * (at - level)
        level, rising = at, rising + change
    level += (slots - filled) / max(rising, _LEAST)
    return {name: min(party.most, max(party.least, level * weights[name])) for name, party in parties.items()}
