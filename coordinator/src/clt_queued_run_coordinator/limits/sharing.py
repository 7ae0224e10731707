"""Weighted max-min fair shares of `max_concurrent_runs`. Pure."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from clt_queued_run_coordinator.limits.usage import START_SECONDS


@dataclass(frozen=True)
class Claim:
    """What one code location could use.

    Attributes:
        queued: Its runs in the queue.
        in_progress: Its runs in progress; they are never stopped, so they are its own in any case.
        limit: The most that may be in progress; None for no limit.
        weight: How large its share is beside the others'; above 0.
        used: The slot-seconds that it has used lately; see `usage`. Breaks ties, so that nobody starves where
            there are fewer slots than code locations.
    """

    queued: int
    in_progress: int = 0
    limit: int | None = None
    weight: float = 1.0
    used: float = 0.0

    @property
    def most(self) -> int:
        """The most runs it could have in progress once its queue has been started as far as allowed."""
        demand = self.in_progress + self.queued
        return max(self.in_progress, demand if self.limit is None else min(self.limit, demand))


def share(claims: Mapping[str, Claim], slots: int) -> dict[str, int]:
    """Each code location's share: what it would have in progress if every slot were dealt anew.

    Args:
        claims: By code location.
        slots: All slots that runs of code locations may use, 0 or more.
    """
    wanted = {
        name: claim.in_progress + claim.queued
        if claim.limit is None
        else min(claim.limit, claim.in_progress + claim.queued)
        for name, claim in claims.items()
    }
    return deal(claims, slots, dict.fromkeys(claims, 0), wanted)


def allow(claims: Mapping[str, Claim], slots: int) -> dict[str, int]:
    """What each code location may have in progress now: its running runs, and the free slots it is dealt.

    Args:
        claims: By code location.
        slots: All slots that runs of code locations may use, used ones included. Fewer than are in use: nothing
            is dealt.
    """
    held = {name: claim.in_progress for name, claim in claims.items()}
    return deal(claims, slots - sum(held.values()), held, {name: claim.most for name, claim in claims.items()})


def deal(
    claims: Mapping[str, Claim], free: int, held: Mapping[str, int], most: Mapping[str, int]
) -> dict[str, int]:
    """Deal free slots one by one, each to whoever has the fewest for its weight and can use one more.

    Max-min fair: nobody could have one more without taking it from someone who has no more for its weight.

    Args:
        claims: By code location; their weights and what they have used count here.
        free: The slots to deal.
        held: What each has already.
        most: What each could have.

    Returns:
        What each has then, `held` included.
    """
    dealt = dict(held)

    def turn(name: str) -> tuple[float, float, str]:
        return (*turn_of(claims[name], dealt[name], dealt[name] - held[name]), name)

    waiting = [turn(name) for name in claims if dealt[name] < most[name]]
    heapq.heapify(waiting)
    for _ in range(free):
        if not waiting:
            break
        name = waiting[0][-1]
        dealt[name] += 1
        if dealt[name] < most[name]:
            heapq.heapreplace(waiting, turn(name))
        else:
            heapq.heappop(waiting)
    return dealt


def turn_of(claim: Claim, held: int, dealt: int) -> tuple[float, float]:
    """Whose turn it is: the smallest goes first.

    Args:
        claim: The code location's.
        held: The slots that it has by now.
        dealt: Those of them that it was just dealt.

    Returns:
        The slots for its weight, then what it has used for its weight.
    """
    return held / claim.weight, (claim.used + dealt * START_SECONDS) / claim.weight
