"""Shares: examples, and what holds for every queue."""

from clt_queued_run_coordinator.policy.claims import Claim, Claims
from clt_queued_run_coordinator.policy.sharing import allow, share
from hypothesis import given
from hypothesis import strategies as st

names = st.sampled_from([f"code-location-{letter}" for letter in "abcdefgh"])
claims_of_everybody = st.dictionaries(
    names,
    st.builds(
        Claim,
        queued=st.integers(0, 30),
        in_progress=st.integers(0, 10),
        limit=st.none() | st.integers(0, 20),
        weight=st.sampled_from([0.5, 1.0, 2.0, 3.0]),
        used=st.floats(0, 1000),
    ),
)
totals = st.integers(0, 80)


@given(claims_of_everybody, totals)
def test_nobody_is_dealt_anything_above_his_limit(claims: dict[str, Claim], slots: int) -> None:
    """Above its limit a code location keeps what runs and is dealt nothing."""
    for name, allowed in allow(Claims.of(claims), slots).items():
        claim = claims[name]
        assert allowed >= claim.in_progress
        if allowed > claim.in_progress:
            assert claim.limit is None or allowed <= claim.limit
            assert allowed <= claim.in_progress + claim.queued


@given(claims_of_everybody, totals)
def test_the_total_is_never_exceeded_by_what_is_dealt(claims: dict[str, Claim], slots: int) -> None:
    """At most the free slots are dealt."""
    in_progress = sum(claim.in_progress for claim in claims.values())
    assert sum(allow(Claims.of(claims), slots).values()) <= max(slots, in_progress)


@given(claims_of_everybody, totals)
def test_no_slot_stays_free_that_somebody_could_use(claims: dict[str, Claim], slots: int) -> None:
    """Sharing is work-conserving."""
    allowed = allow(Claims.of(claims), slots)
    if sum(allowed.values()) < slots:
        assert all(allowed[name] == claim.max_in_progress for name, claim in claims.items())


@given(claims_of_everybody, totals)
def test_shares_are_max_min_fair(claims: dict[str, Claim], slots: int) -> None:
    """Whoever could use one more has no less for his weight than another had before his last slot."""
    dealt = allow(Claims.of(claims), slots)
    for poor, poor_claim in claims.items():
        if dealt[poor] >= poor_claim.max_in_progress:
            continue
        for rich, rich_claim in claims.items():
            if dealt[rich] > rich_claim.in_progress:
                before_his_last = (dealt[rich] - 1) / rich_claim.weight
                assert before_his_last <= dealt[poor] / poor_claim.weight


@given(claims_of_everybody, totals)
def test_nothing_changes_when_nothing_changes(claims: dict[str, Claim], slots: int) -> None:
    """Once what was dealt runs, nothing more is dealt."""
    allowed = allow(Claims.of(claims), slots)
    started = {
        name: Claim(
            queued=claim.queued - (allowed[name] - claim.in_progress),
            in_progress=allowed[name],
            limit=claim.limit,
            weight=claim.weight,
            used=claim.used,
        )
        for name, claim in claims.items()
    }
    assert allow(Claims.of(started), slots) == allowed


@given(claims_of_everybody, totals)
def test_shares_do_not_depend_on_what_runs(claims: dict[str, Claim], slots: int) -> None:
    """A share is what would be dealt if every slot were free: within limits and the total."""
    shares = share(Claims.of(claims), slots)
    assert sum(shares.values()) <= slots
    for name, claim in claims.items():
        assert claim.limit is None or shares[name] <= claim.limit


def test_of_two_that_have_as_many_slots_the_less_used_goes_first() -> None:
    """Not the name."""
    claims = {"a": Claim(queued=3, used=20.0), "b": Claim(queued=3, used=10.0)}
    assert allow(Claims.of(claims), 1) == {"a": 0, "b": 1}


def test_what_was_used_counts_for_the_weight() -> None:
    """Twice as much is as much with twice the weight, and a start more decides."""
    claims = {"a": Claim(queued=3, used=19.0, weight=2.0), "b": Claim(queued=3, used=10.0)}
    assert allow(Claims.of(claims), 1) == {"a": 1, "b": 0}


def test_weights_share_in_proportion() -> None:
    """2 to 1."""
    claims = {"a": Claim(queued=50, weight=2), "b": Claim(queued=50)}
    assert share(Claims.of(claims), 30) == {"a": 20, "b": 10}
