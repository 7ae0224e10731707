"""Minimums and groups: examples, and what holds for every queue."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from clt_queued_run_coordinator.config.options import Group
from clt_queued_run_coordinator.policy.admission import admit
from clt_queued_run_coordinator.policy.claims import Claim, Claims, group_key, levels, with_groups
from clt_queued_run_coordinator.policy.queued_run import QueuedRun
from clt_queued_run_coordinator.policy.sharing import allow, deal, share
from clt_queued_run_coordinator.policy.usage import START_SECONDS, Usage
from hypothesis import given
from hypothesis import strategies as st

NAMES = tuple("abcdefgh")


def without_groups(claims: Mapping[str, Claim], free: int, held: Mapping[str, int]) -> dict[str, int]:
    """What was dealt before there were minimums and groups."""
    dealt = dict(held)

    def turn(name: str) -> tuple[float, float, str]:
        claim = claims[name]
        used = claim.used + (dealt[name] - held[name]) * START_SECONDS
        return dealt[name] / claim.weight, used / claim.weight, name

    waiting = [turn(name) for name in claims if dealt[name] < claims[name].max_in_progress]
    heapq.heapify(waiting)
    for _ in range(free):
        if not waiting:
            break
        name = waiting[0][-1]
        dealt[name] += 1
        if dealt[name] < claims[name].max_in_progress:
            heapq.heapreplace(waiting, turn(name))
        else:
            heapq.heappop(waiting)
    return dealt


def a_claim(*, least: int = 0) -> st.SearchStrategy[Claim]:
    """The claim of a code location, its minimum within its limit."""
    return st.builds(
        Claim,
        queued=st.integers(0, 30),
        in_progress=st.integers(0, 10),
        limit=st.none() | st.integers(0, 20),
        weight=st.sampled_from([0.5, 1.0, 2.0, 3.0]),
        used=st.floats(0, 1000),
        min=st.integers(0, least),
    ).map(lambda claim: claim if claim.limit is None else replace(claim, min=min(claim.min, claim.limit)))


@st.composite
def anybody(draw: st.DrawFn) -> Claims:
    """Code locations, some of them in groups, with minimums and limits as the configuration takes them."""
    claims = draw(st.dictionaries(st.sampled_from(NAMES), a_claim(least=4)))
    members: dict[str, list[str]] = {}
    for name in claims:
        group = draw(st.sampled_from([None, "x", "y"]), label=f"group of {name}")
        if group:
            members.setdefault(group, []).append(name)
    groups = {}
    for name, of_it in members.items():
        needed = sum(claims[location].min for location in of_it)
        limit = draw(st.none() | st.integers(needed, needed + 12), label=f"limit of {name}")
        least = draw(st.integers(0, 8 if limit is None else min(8, limit)), label=f"min of {name}")
        groups[name] = Group(tuple(of_it), limit, draw(st.sampled_from([0.5, 1.0, 2.0])), least)
    used = {group_key(name): draw(st.floats(0, 1000)) for name in groups}
    return Claims.of(claims, groups, Usage(slot_seconds=used))


def needed(claims: Claims) -> int:
    """The sum of all minimums."""
    alone = sum(claim.min for name, claim in claims.code_locations.items() if name not in claims.group_of)
    return alone + sum(
        max(group.min, sum(claims.code_locations[of_it].min for of_it in _members(claims, name)))
        for name, group in claims.groups.items()
    )


def _members(claims: Claims, group: str) -> list[str]:
    return [name for name, of_it in claims.group_of.items() if of_it == group]


def _sum(claims: Claims, group: str, numbers: Mapping[str, int]) -> int:
    return sum(numbers[name] for name in _members(claims, group))


@given(st.dictionaries(st.sampled_from(NAMES), a_claim()), st.integers(0, 80))
def test_without_minimums_and_groups_shares_are_what_they_were(claims: dict[str, Claim], slots: int) -> None:
    """Slot for slot."""
    held = {name: claim.in_progress for name, claim in claims.items()}
    assert allow(Claims.of(claims), slots) == without_groups(claims, slots - sum(held.values()), held)
    anew = {name: replace(claim, queued=claim.queued + claim.in_progress, in_progress=0)
            for name, claim in claims.items()}  # fmt: skip
    assert share(Claims.of(claims), slots) == without_groups(anew, slots, dict.fromkeys(claims, 0))


@given(st.dictionaries(st.sampled_from(NAMES), a_claim()), st.integers(0, 80))
def test_everybody_in_a_group_of_his_own_is_nobody_in_a_group(claims: dict[str, Claim], slots: int) -> None:
    """With the same weights and limits."""
    groups = {name: Group((name,), claim.limit, claim.weight) for name, claim in claims.items()}
    used = Usage(slot_seconds={group_key(name): claim.used for name, claim in claims.items()})
    assert allow(Claims.of(claims, groups, used), slots) == allow(Claims.of(claims), slots)


@given(anybody(), st.integers(0, 80))
def test_limits_of_groups_and_of_their_code_locations_hold(claims: Claims, slots: int) -> None:
    """Above them what runs is kept and nothing is dealt; nor is more than there is."""
    dealt = allow(claims, slots)
    assert sum(dealt.values()) <= max(slots, claims.in_progress)
    for name, claim in claims.code_locations.items():
        assert claim.in_progress <= dealt[name] <= claim.max_in_progress
    for name, group in claims.groups.items():
        assert group.limit is None or _sum(claims, name, dealt) <= max(group.limit, group.in_progress)


@given(anybody(), st.integers(0, 80))
def test_no_slot_stays_free_that_somebody_could_use(claims: Claims, slots: int) -> None:
    """Whatever is kept for whom."""
    dealt = allow(claims, slots)
    if sum(dealt.values()) < slots:
        left = claims.after({name: dealt[name] - claims.code_locations[name].in_progress for name in dealt})
        for name, claim in left.code_locations.items():
            assert claim.in_progress == claim.max_in_progress or left.room(name) == 0


@given(anybody(), st.integers(0, 20))
def test_everybody_has_his_minimum_as_far_as_he_can_use_it(claims: Claims, more: int) -> None:
    """Where the minimums fit into the slots, each has its own, or all that it wants."""
    dealt = share(claims, needed(claims) + more)
    wanted = {name: claim.max_in_progress for name, claim in claims.from_scratch().code_locations.items()}
    for name, claim in claims.code_locations.items():
        assert dealt[name] >= min(claim.min, wanted[name])
    for name, group in claims.groups.items():
        assert _sum(claims, name, dealt) >= min(group.min, _sum(claims, name, wanted))


@given(anybody(), st.integers(0, 80))
def test_the_free_slots_go_to_minimums_first(claims: Claims, slots: int) -> None:
    """Nobody is dealt a slot beyond his minimum and his group's while somebody waits below his own."""
    dealt = allow(claims, slots)
    below = {
        name
        for name, claim in claims.code_locations.items()
        if dealt[name] < min(claim.min, claim.max_in_progress) and _has_room(claims, name, dealt)
    }
    if not below:
        return
    for name, claim in claims.code_locations.items():
        group = claims.group(name)
        of_group = _sum(claims, claims.group_of[name], dealt) if group else 0
        if dealt[name] > claim.in_progress and name not in below:
            kept_by_group = group is not None and of_group <= max(
                group.min, group.in_progress + _kept(claims, name)
            )
            assert dealt[name] <= claim.min or kept_by_group


def _has_room(claims: Claims, name: str, dealt: Mapping[str, int]) -> bool:
    group = claims.group(name)
    return group is None or group.limit is None or _sum(claims, claims.group_of[name], dealt) < group.limit


def _kept(claims: Claims, name: str) -> int:
    return sum(claims.code_locations[of_it].min for of_it in _members(claims, claims.group_of[name]))


@given(anybody(), st.integers(0, 80))
def test_shares_are_max_min_fair_between_groups_then_within(claims: Claims, slots: int) -> None:
    """Beyond minimums: who could use one more has no less for his weight than another before his last slot."""
    dealt = allow(claims, slots)
    for group in [None, *claims.groups]:
        parties = {
            name: (claim, dealt[name], dealt[name] < claim.max_in_progress and _has_room(claims, name, dealt))
            for name, claim in claims.code_locations.items()
            if claims.group_of.get(name) == group
        }
        if group is None:
            for name, claim in claims.groups.items():
                could = any(
                    dealt[of_it] < claims.code_locations[of_it].max_in_progress and _has_room(claims, of_it, dealt)
                    for of_it in _members(claims, name)
                )
                # What members were dealt for minimums of their own is beyond the group's turn.
                kept = max(claim.min, sum(claims.code_locations[of_it].min for of_it in _members(claims, name)))
                party = replace(claim, min=claim.in_progress + kept)
                parties[f"group {name}"] = (party, _sum(claims, name, dealt), could)
        for poor, poor_has, could_use_one in parties.values():
            for rich, rich_has, _ in parties.values():
                if could_use_one and rich_has > max(rich.in_progress, rich.min):
                    assert (rich_has - 1) / rich.weight <= poor_has / poor.weight


@given(anybody(), st.integers(0, 80))
def test_nothing_changes_when_nothing_changes(claims: Claims, slots: int) -> None:
    """Once what was dealt runs, nothing more is dealt."""
    dealt = allow(claims, slots)
    started = claims.after({name: dealt[name] - claims.code_locations[name].in_progress for name in dealt})
    assert allow(started, slots) == dealt


@given(anybody(), st.integers(0, 40), st.integers(0, 40))
def test_slots_dealt_in_two_parts_are_dealt_as_in_one(claims: Claims, first: int, then: int) -> None:
    """What is left after the first part is exactly what the second begins with."""
    dealt = deal(claims, first)
    left = claims.after({name: dealt[name] - claims.code_locations[name].in_progress for name in dealt})
    assert deal(left, then) == deal(claims, first + then)


@given(anybody(), st.none() | st.integers(0, 40), st.booleans(), st.data())
def test_of_real_queues_limits_hold_and_nothing_idles(
    claims: Claims, slots: int | None, fair: bool, data: st.DataObject
) -> None:
    """With priorities and with runs that are held, in both orders."""
    number = iter(range(1, 10_000))
    queues = {
        name: sorted(
            (QueuedRun(data.draw(st.integers(-1, 1)), next(number)) for _ in range(claim.queued)),
            key=lambda run: run.place,
        )
        for name, claim in claims.code_locations.items()
    }
    held = data.draw(st.sets(st.integers(1, 60)), label="held")
    waiting: dict[str, Iterator[QueuedRun]] = {name: iter(runs) for name, runs in queues.items()}
    admitted = admit(waiting, claims, slots, lambda _name, run: run.storage_id not in held, fair=fair)
    assert slots is None or len(admitted) <= slots
    starts = {name: [run for of_it, run in admitted if of_it == name] for name in queues}
    left = claims.after({name: len(runs) for name, runs in starts.items()})
    for name, group in left.groups.items():
        assert group.limit is None or group.in_progress <= max(group.limit, claims.groups[name].in_progress)
    for name, runs in starts.items():
        startable = [run for run in queues[name] if run.storage_id not in held]
        assert runs == startable[: len(runs)]
        if slots is None or len(admitted) < slots:
            assert len(runs) == len(startable) or left.room(name) == 0


def test_with_dagsters_order_a_minimum_goes_first_and_then_the_oldest() -> None:
    """Whatever the priority of the others' runs."""
    claims = Claims.of({"a": Claim(queued=4), "b": Claim(queued=4, min=2)})
    queues = {
        "a": iter([QueuedRun(9, 1), QueuedRun(9, 2), QueuedRun(9, 3)]),
        "b": iter([QueuedRun(0, 4), QueuedRun(0, 5), QueuedRun(0, 6)]),
    }
    admitted = admit(queues, claims, 4, lambda _name, _run: True, fair=False)
    assert [run.storage_id for _, run in admitted] == [4, 5, 1, 2]


def test_of_several_below_their_minimums_it_is_the_usual_turn() -> None:
    """With Dagster's order the older run, with fair sharing whoever has less for his weight."""
    claims = Claims.of({"a": Claim(queued=2, in_progress=2, min=4), "b": Claim(queued=2, min=2)})
    for fair, first in ((False, "a"), (True, "b")):
        queues = {"a": iter([QueuedRun(0, 1), QueuedRun(0, 2)]), "b": iter([QueuedRun(0, 3), QueuedRun(0, 4)])}
        (admitted,) = admit(queues, claims, 1, lambda _name, _run: True, fair=fair)
        assert admitted[0] == first


def test_the_slots_of_a_group_go_to_the_minimum_within_it_first() -> None:
    """A group that is below its own minimum doesn't spend its limit on others than those below theirs."""
    groups = {"team": Group(("a", "b"), limit=4, min=4)}
    claims = Claims.of({"a": Claim(queued=9), "b": Claim(queued=9, min=2), "c": Claim(queued=9)}, groups)
    queues = {
        name: iter([QueuedRun(0, start + number) for number in range(9)])
        for name, start in (("a", 100), ("b", 300), ("c", 200))
    }
    admitted = admit(queues, claims, 5, lambda _name, _run: True, fair=False)
    assert [name for name, _ in admitted] == ["b", "b", "a", "a", "c"]


@pytest.mark.parametrize("fair", [True, False])
def test_a_minimum_counts_whatever_the_group(fair: bool) -> None:
    """The group has no minimum of its own, and much in progress already."""
    claims = Claims.of(
        {"a": Claim(queued=9, in_progress=5), "b": Claim(queued=9, min=2), "c": Claim(queued=9)},
        {"team": Group(("a", "b"))},
    )
    queues = {name: iter([QueuedRun(0, start + of) for of in range(9)]) for name, start in (("b", 50), ("c", 10))}
    admitted = admit(queues, claims, 3, lambda _name, _run: True, fair=fair)
    assert [name for name, _ in admitted] == ["b", "b", "c"]


def test_groups_share_first_then_their_code_locations() -> None:
    """Two groups of equal weight, one of three code locations."""
    groups = {"x": Group(("a", "b", "c")), "y": Group(("d",))}
    claims = Claims.of({name: Claim(queued=50, weight=2.0 if name == "a" else 1.0) for name in "abcd"}, groups)
    assert share(claims, 16) == {"a": 4, "b": 2, "c": 2, "d": 8}


def test_a_code_location_in_no_group_is_a_group_by_itself() -> None:
    """With its own weight."""
    claims = Claims.of(
        {"a": Claim(queued=50), "b": Claim(queued=50), "c": Claim(queued=50, weight=2.0)}, {"x": Group(("a", "b"))}
    )
    assert share(claims, 12) == {"a": 2, "b": 2, "c": 8}


def test_of_equal_groups_the_one_that_has_used_less_goes_first() -> None:
    """Not the one whose code location has."""
    groups = {"x": Group(("a", "b")), "y": Group(("c",))}
    used = Usage(slot_seconds={group_key("x"): 30.0, group_key("y"): 20.0})
    claims = Claims.of(
        {"a": Claim(queued=1, used=1.0), "b": Claim(queued=1, used=29.0), "c": Claim(queued=1, used=20.0)},
        groups, used,
    )  # fmt: skip
    assert allow(claims, 1) == {"a": 0, "b": 0, "c": 1}
    assert allow(claims, 2) == {"a": 1, "b": 0, "c": 1}


@pytest.mark.parametrize("fair", [True, False])
def test_what_a_group_has_in_progress_without_a_queue_counts_for_it(fair: bool) -> None:
    """Its limit is used up by a code location that has nothing queued."""
    claims = Claims.of(
        {"a": Claim(queued=0, in_progress=2), "b": Claim(queued=5)}, {"x": Group(("a", "b"), limit=3)}
    )
    queues = {"b": iter([QueuedRun(0, number) for number in range(1, 6)])}
    assert len(admit(queues, claims, None, lambda _name, _run: True, fair=fair)) == 1


def test_sums_of_groups_stand_beside_their_code_locations() -> None:
    """Only of groups that have something."""
    groups = {"x": Group(("a", "b")), "y": Group(("d",))}
    assert with_groups({"a": 1, "b": 2, "c": 4}, groups) == {"a": 1, "b": 2, "c": 4, group_key("x"): 3}


def test_who_competes_with_whom() -> None:
    """Groups with those that are in none, and those in a group with one another."""
    groups = {"x": Group(("a", "b"), weight=3.0), "y": Group(("d",))}
    assert levels({"a": 1.0, "b": 2.0, "c": 4.0}, groups) == [
        {"c": 4.0, group_key("x"): 3.0},
        {"a": 1.0, "b": 2.0},
    ]
