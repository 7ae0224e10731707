"""Offers of unused slots: what a code location was dealt and could not use, the others may use. Pure.

Shares come from counts, and counts don't tell that a queued run can't start: another tag limit, a full pool or a
code server that is down holds it. The slots that it leaves idle are offered to the others at the next tick, while
it keeps its own right to them. Since others may then take them first, each offer ends after some ticks, so that
the code location is alone with its slots for one tick and can show whether it still can't use them; each time it
can't the next offer lasts twice as long.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LONGEST_OFFER_TICKS = 16


@dataclass(frozen=True)
class Offer:
    """The unused slots of one code location.

    Attributes:
        slots: How many it left unused.
        ticks: How many ticks the offer lasts altogether.
        left: How many of them are left; with 0 the code location is alone with its slots for this tick.
    """

    slots: int
    ticks: int = 1
    left: int = 1


def next_offers(
    offers: Mapping[str, Offer],
    dealt: Mapping[str, int],
    started: Mapping[str, int],
    waiting: Mapping[str, int],
) -> dict[str, Offer]:
    """The offers for the coming tick.

    Args:
        offers: Those of the last tick.
        dealt: The free slots that each code location was dealt in the last tick.
        started: The queued runs that left the queue since, of each.
        waiting: The queued runs of each that were there at the last tick and are still there.
    """
    coming: dict[str, Offer] = {}
    for name in {*offers, *dealt}:
        offer = offers.get(name)
        unused = dealt.get(name, 0) - started.get(name, 0)
        if not waiting.get(name):
            continue
        if dealt.get(name, 0) == 0:
            if offer:  # nothing was free, so nothing was learned
                coming[name] = offer
        elif unused > 0:
            coming[name] = _continued(offer, unused)
    return coming


def _continued(offer: Offer | None, unused: int) -> Offer:
    if offer is None:
        return Offer(unused)
    if offer.left > 0:
        return Offer(unused, offer.ticks, offer.left - 1)
    ticks = min(2 * offer.ticks, LONGEST_OFFER_TICKS)
    return Offer(unused, ticks, ticks)


def offered(offers: Mapping[str, Offer]) -> dict[str, int]:
    """The slots on offer in this tick, by the code location that left them."""
    return {name: offer.slots for name, offer in offers.items() if offer.left > 0}
