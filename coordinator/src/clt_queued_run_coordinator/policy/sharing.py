"""Weighted max-min fair shares of `max_concurrent_runs`. Pure."""

from clt_queued_run_coordinator.policy.claims import Claims
from clt_queued_run_coordinator.policy.turns import Turns


def share(claims: Claims, slots: int) -> dict[str, int]:
    """Each code location's share: what it would have in progress if all slots were dealt from scratch.

    Args:
        claims: All claims.
        slots: All slots that runs of code locations may use; 0 or more.
    """
    return deal(claims.from_scratch(), slots)


def allow(claims: Claims, slots: int) -> dict[str, int]:
    """What each code location may have in progress now: its runs in progress and the free slots it is dealt.

    Args:
        claims: All claims.
        slots: All slots that runs of code locations may use, including those in use. If more are in use, nothing
            is dealt.
    """
    return deal(claims, slots - claims.in_progress)


def deal(claims: Claims, free: int) -> dict[str, int]:
    """Deal free slots one by one, each to the code location whose turn it is; see `turns`.

    The result is max-min fair between groups and within each group: nobody could get another slot without taking
    it from someone that has no more for its weight, or no more than its minimum.

    Args:
        claims: All claims.
        free: The number of slots to deal.

    Returns:
        The slots that each code location then has, including its runs in progress.
    """
    turns = Turns(claims, fair=True)
    most = {name: claim.max_in_progress for name, claim in claims.code_locations.items()}
    dealt = {name: claim.in_progress for name, claim in claims.code_locations.items()}
    for name, in_progress in dealt.items():
        if in_progress < most[name]:
            turns.wait(name)
    for _ in range(free):
        turn = turns.next()
        if turn is None:
            break
        turns.deal(turn)
        dealt[turn] += 1
        if dealt[turn] < most[turn]:
            turns.wait(turn)
    return dealt
