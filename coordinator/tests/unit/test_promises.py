"""Minimums and groups: examples, and what holds for every queue."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from clt_queued_run_coordinator.config.options import Group
from clt_queued_run_coordinator.policy.admission import admit
from clt_queued_run_coordinator.policy.claims import Claim, Claims, group_key
from clt_queued_run_coordinator.policy.credit import Credit
from clt_queued_run_coordinator.policy.queued_run import QueuedRun
from clt_queued_run_coordinator.policy.room import Room
from hypothesis import given
from hypothesis import strategies as st

NAMES = tuple("abcdefgh")


def allow(claims: Claims, slots: int, credit: Credit | None = None) -> dict[str, int]:
    """What each code location has in progress once the free slots are dealt, nobody's runs being held."""
    queues = {name: iter(_runs(claim.startable)) for name, claim in claims.code_locations.items()}
    free = max(0, slots - claims.in_progress)
    admission = admit(queues, Room(claims, free), lambda _name, _run: True, credit=credit or Credit())
    starts = Counter(name for name, _ in admission.runs)
    return {name: claim.in_progress + starts[name] for name, claim in claims.code_locations.items()}


def _runs(number: int, first: int = 1) -> list[QueuedRun]:
    return [QueuedRun(0, storage_id) for storage_id in range(first, first + number)]


def a_claim(*, least: int = 0) -> st.SearchStrategy[Claim]:
    """The claim of a code location, its minimum within its limit."""
    return st.builds(
        Claim,
        startable=st.integers(0, 30),
        in_progress=st.integers(0, 10),
        limit=st.none() | st.integers(0, 20),
        weight=st.sampled_from([0.5, 1.0, 2.0, 3.0]),
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
    return Claims(claims, groups)


@st.composite
def any_credit(draw: st.DrawFn) -> Credit:
    """Any credit of anybody."""
    names = (*NAMES, group_key("x"), group_key("y"))
    return Credit(slot_seconds={name: draw(st.floats(-1000, 1000)) for name in names})


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


@given(anybody(), st.integers(0, 80), any_credit())
def test_limits_of_groups_and_of_their_code_locations_hold(claims: Claims, slots: int, credit: Credit) -> None:
    """Above them what runs is kept and nothing is dealt; nor is more than there is."""
    dealt = allow(claims, slots, credit)
    assert sum(dealt.values()) <= max(slots, claims.in_progress)
    for name, claim in claims.code_locations.items():
        assert claim.in_progress <= dealt[name] <= claim.most
    for name, group in claims.groups.items():
        assert group.limit is None or _sum(claims, name, dealt) <= max(group.limit, group.in_progress)


@given(anybody(), st.integers(0, 80), any_credit())
def test_no_slot_stays_free_that_somebody_could_use(claims: Claims, slots: int, credit: Credit) -> None:
    """Whatever is kept for whom."""
    dealt = allow(claims, slots, credit)
    if sum(dealt.values()) < slots:
        left = claims.after({name: dealt[name] - claims.code_locations[name].in_progress for name in dealt})
        for name, claim in left.code_locations.items():
            assert claim.in_progress == claim.most or left.room(name) == 0


@given(anybody(), st.integers(0, 80), any_credit())
def test_the_free_slots_go_to_minimums_first(claims: Claims, slots: int, credit: Credit) -> None:
    """Nobody is dealt a slot beyond his minimum and his group's while somebody waits below his own."""
    dealt = allow(claims, slots, credit)
    below = {
        name
        for name, claim in claims.code_locations.items()
        if dealt[name] < min(claim.min, claim.most) and _has_room(claims, name, dealt)
    }
    if not below:
        return
    for name, claim in claims.code_locations.items():
        group = claims.groups.get(claims.group_of.get(name, ""))
        of_group = _sum(claims, claims.group_of[name], dealt) if group else 0
        if dealt[name] > claim.in_progress and name not in below:
            kept_by_group = group is not None and of_group <= max(
                group.min, group.in_progress + _kept(claims, name)
            )
            assert dealt[name] <= claim.min or kept_by_group


def _has_room(claims: Claims, name: str, dealt: Mapping[str, int]) -> bool:
    group = claims.groups.get(claims.group_of.get(name, ""))
    return group is None or group.limit is None or _sum(claims, claims.group_of[name], dealt) < group.limit


def _kept(claims: Claims, name: str) -> int:
    return sum(claims.code_locations[of_it].min for of_it in _members(claims, claims.group_of[name]))


@given(anybody(), st.integers(0, 80), any_credit())
def test_nothing_changes_when_nothing_changes(claims: Claims, slots: int, credit: Credit) -> None:
    """Once what was dealt runs, nothing more is dealt."""
    dealt = allow(claims, slots, credit)
    started = claims.after({name: dealt[name] - claims.code_locations[name].in_progress for name in dealt})
    assert allow(started, slots, credit) == dealt


@given(anybody(), st.none() | st.integers(0, 40), st.booleans(), st.data())
def test_of_real_queues_limits_hold_and_nothing_idles(
    claims: Claims, slots: int | None, fair: bool, data: st.DataObject
) -> None:
    """With priorities and with runs that are held, in both orders."""
    number = iter(range(1, 10_000))
    queues = {
        name: sorted(
            (QueuedRun(data.draw(st.integers(-1, 1)), next(number)) for _ in range(claim.startable)),
            key=lambda run: run.place,
        )
        for name, claim in claims.code_locations.items()
    }
    held = data.draw(st.sets(st.integers(1, 60)), label="held")
    waiting: dict[str, Iterator[QueuedRun]] = {name: iter(runs) for name, runs in queues.items()}

    def starts(_name: str, run: QueuedRun) -> bool:
        return run.storage_id not in held

    admitted = admit(waiting, Room(claims, slots), starts, credit=Credit() if fair else None).runs
    assert slots is None or len(admitted) <= slots
    started = {name: [run for code_location, run in admitted if code_location == name] for name in queues}
    left = claims.after({name: len(runs) for name, runs in started.items()})
    for name, group in left.groups.items():
        assert group.limit is None or group.in_progress <= max(group.limit, claims.groups[name].in_progress)
    for name, runs in started.items():
        startable = [run for run in queues[name] if run.storage_id not in held]
        assert runs == startable[: len(runs)]
        if slots is None or len(admitted) < slots:
            assert len(runs) == len(startable) or left.room(name) == 0


def test_with_dagsters_order_a_minimum_goes_first_and_then_the_oldest() -> None:
    """Whatever the priority of the others' runs."""
    claims = Claims({"a": Claim(startable=4), "b": Claim(startable=4, min=2)})
    queues = {
        "a": iter([QueuedRun(9, 1), QueuedRun(9, 2), QueuedRun(9, 3)]),
        "b": iter([QueuedRun(0, 4), QueuedRun(0, 5), QueuedRun(0, 6)]),
    }
    admitted = admit(queues, Room(claims, 4), lambda _name, _run: True).runs
    assert [run.storage_id for _, run in admitted] == [4, 5, 1, 2]


def test_of_several_below_their_minimums_it_is_the_usual_turn() -> None:
    """With Dagster's order the older run, with fair sharing whoever has less for his weight."""
    claims = Claims({"a": Claim(startable=2, in_progress=2, min=4), "b": Claim(startable=2, min=2)})
    for fair, first in ((False, "a"), (True, "b")):
        queues = {"a": iter([QueuedRun(0, 1), QueuedRun(0, 2)]), "b": iter([QueuedRun(0, 3), QueuedRun(0, 4)])}
        (admitted,) = admit(
            queues, Room(claims, 1), lambda _name, _run: True, credit=Credit() if fair else None
        ).runs
        assert admitted[0] == first


def test_the_slots_of_a_group_go_to_the_minimum_within_it_first() -> None:
    """A group that is below its own minimum doesn't spend its limit on others than those below theirs."""
    groups = {"team": Group(("a", "b"), limit=4, min=4)}
    claims = Claims({"a": Claim(startable=9), "b": Claim(startable=9, min=2), "c": Claim(startable=9)}, groups)
    queues = {
        name: iter([QueuedRun(0, start + number) for number in range(9)])
        for name, start in (("a", 100), ("b", 300), ("c", 200))
    }
    admitted = admit(queues, Room(claims, 5), lambda _name, _run: True).runs
    assert [name for name, _ in admitted] == ["b", "b", "a", "a", "c"]


@pytest.mark.parametrize("fair", [True, False])
def test_a_minimum_counts_whatever_the_group(fair: bool) -> None:
    """The group has no minimum of its own, and much in progress already."""
    claims = Claims(
        {"a": Claim(startable=9, in_progress=5), "b": Claim(startable=9, min=2), "c": Claim(startable=9)},
        {"team": Group(("a", "b"))},
    )
    queues = {name: iter([QueuedRun(0, start + of) for of in range(9)]) for name, start in (("b", 50), ("c", 10))}
    admitted = admit(queues, Room(claims, 3), lambda _name, _run: True, credit=Credit() if fair else None).runs
    assert [name for name, _ in admitted] == ["b", "b", "c"]


@pytest.mark.parametrize("fair", [True, False])
def test_what_a_group_has_in_progress_without_a_queue_counts_for_it(fair: bool) -> None:
    """Its limit is used up by a code location that has nothing queued."""
    claims = Claims(
        {"a": Claim(startable=0, in_progress=2), "b": Claim(startable=5)}, {"x": Group(("a", "b"), limit=3)}
    )
    queues = {"b": iter([QueuedRun(0, number) for number in range(1, 6)])}
    assert (
        len(admit(queues, Room(claims, None), lambda _name, _run: True, credit=Credit() if fair else None).runs)
        == 1
    )
