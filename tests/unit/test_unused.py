"""Offers of slots that a code location was dealt and could not use."""

import itertools

from clt_queued_run_coordinator.limits.unused import LONGEST_OFFER_TICKS, Offer, next_offers, offered


def test_what_was_left_unused_is_offered() -> None:
    """Three were dealt, one was used, and runs are waiting."""
    offers = next_offers({}, dealt={"a": 3}, started={"a": 1}, waiting={"a": 5})
    assert offered(offers) == {"a": 2}


def test_nothing_is_offered_where_nothing_waits() -> None:
    """Its queue ran empty, or was cancelled."""
    assert next_offers({}, dealt={"a": 3}, started={"a": 0}, waiting={"a": 0}) == {}


def test_whoever_used_everything_offers_nothing() -> None:
    """An offer ends at once when its code location can start runs again."""
    offers = {"a": Offer(2, ticks=8, left=5)}
    assert next_offers(offers, dealt={"a": 2}, started={"a": 2}, waiting={"a": 5}) == {}


def test_nothing_is_learned_where_nothing_was_dealt() -> None:
    """With no free slot an offer stays as it is."""
    offers = {"a": Offer(2, ticks=8, left=5)}
    assert next_offers(offers, dealt={"a": 0}, started={"a": 0}, waiting={"a": 5}) == offers


def test_offers_end_and_come_back_twice_as_long() -> None:
    """After each offer the code location is alone with its slots for one tick; lengths double up to a bound."""
    offers: dict[str, Offer] = {}
    alone_at = []
    for tick in range(100):
        offers = next_offers(offers, dealt={"a": 1}, started={}, waiting={"a": 1})
        if not offered(offers):
            alone_at.append(tick)
    gaps = [later - earlier - 1 for earlier, later in itertools.pairwise(alone_at)]
    assert gaps[:4] == [2, 4, 8, 16]
    assert set(gaps[4:]) == {LONGEST_OFFER_TICKS}
