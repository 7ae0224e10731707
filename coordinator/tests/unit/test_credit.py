"""Fair shares and credit: examples, what holds for everybody, and what it does to turns over a long time."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest
from clt_queued_run_coordinator.config import plain_data
from clt_queued_run_coordinator.config.options import Group
from clt_queued_run_coordinator.policy.admission import admit
from clt_queued_run_coordinator.policy.claims import Claim, Claims, group_key
from clt_queued_run_coordinator.policy.credit import LONGEST_GAP, MOST, Credit, Ledger, shares
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION, QueuedRun
from clt_queued_run_coordinator.policy.room import Room
from hypothesis import given, settings
from hypothesis import strategies as st

HOUR = 3600.0
YEAR = 365 * 24 * HOUR
NOW = 1_800_000_000.0
ENDLESS = 10**6


def claims_of(**weights: float) -> Claims:
    """Code locations with queues that don't end."""
    return Claims({name: Claim(ENDLESS, weight=weight) for name, weight in weights.items()})


def test_shares_are_real_numbers() -> None:
    """10, 1, 1, 1, 1 on five slots."""
    filled = shares(claims_of(a=10, b=1, c=1, d=1, e=1), 5)
    assert filled["a"] == pytest.approx(50 / 14)
    assert filled["b"] == pytest.approx(5 / 14)


def test_what_one_cannot_use_goes_to_the_others() -> None:
    """By their weights; a run in progress counts as used, a limit ends it."""
    claims = Claims(
        {
            "a": Claim(1, 1),
            "b": Claim(9, limit=3),
            "c": Claim(ENDLESS, weight=2),
            "d": Claim(ENDLESS),
            "e": Claim(0),
        }
    )
    assert shares(claims, 17) == pytest.approx({"a": 2, "b": 3, "c": 8, "d": 4, "e": 0})


def test_minimums_are_shares_from_below() -> None:
    """As far as they can be used."""
    claims = Claims({"a": Claim(ENDLESS, weight=7), "b": Claim(ENDLESS, min=3), "c": Claim(1, min=3)})
    assert shares(claims, 6) == pytest.approx({"a": 2, "b": 3, "c": 1})


def test_groups_share_first_and_then_their_code_locations() -> None:
    """Within the limit of each group, and from its minimum on."""
    claims = Claims(
        {"a": Claim(ENDLESS, weight=2), **{name: Claim(ENDLESS) for name in "bcde"}},
        {"x": Group(("a", "b"), limit=6), "y": Group(("c", "d"), weight=0.5, min=4)},
    )
    expected = {"a": 4, "b": 2, "c": 2, "d": 2, "e": 6, group_key("x"): 6, group_key("y"): 4}
    assert shares(claims, 16) == pytest.approx(expected)


def test_runs_without_a_code_location_take_their_slots_from_all() -> None:
    """They belong to nobody who could owe them."""
    claims = Claims({NO_CODE_LOCATION: Claim(0, 3), "a": Claim(9, weight=2), "b": Claim(9)})
    assert shares(claims, 6) == pytest.approx({NO_CODE_LOCATION: 3, "a": 2, "b": 1})


def test_without_a_total_only_limits_hold() -> None:
    """Within a limited group there still is something to share."""
    claims = Claims({"a": Claim(50), "b": Claim(50), "c": Claim(7)}, {"x": Group(("a", "b"), limit=3)})
    assert shares(claims, math.inf) == pytest.approx({"a": 1.5, "b": 1.5, "c": 7, group_key("x"): 3})


weights = st.sampled_from([1e-300, 0.001, 0.5, 1.0, 2.0, 10.0, 1000.0, 1e300])
any_claim = st.builds(
    Claim,
    startable=st.integers(0, 30),
    in_progress=st.integers(0, 10),
    limit=st.none() | st.integers(0, 20),
    weight=weights,
    min=st.integers(0, 5),
)


@st.composite
def anybody(draw: st.DrawFn) -> Claims:
    """Code locations, some of them in groups."""
    claims = draw(st.dictionaries(st.sampled_from("abcdefgh"), any_claim))
    members: dict[str, list[str]] = {}
    for name in claims:
        members.setdefault(draw(st.sampled_from(["", "x", "y"])), []).append(name)
    members.pop("", None)
    limit, least = st.none() | st.integers(0, 20), st.integers(0, 8)
    groups = {name: Group(tuple(of), draw(limit), draw(weights), draw(least)) for name, of in members.items()}
    return Claims(claims, groups)


@given(anybody(), st.integers(0, 80))
def test_shares_fit_and_leave_nothing_that_could_be_used(claims: Claims, slots: int) -> None:
    """Nobody has more than it can use; all slots are shared if there is use for them."""
    filled = shares(claims, slots)
    tops = [name for name in claims.code_locations if name not in claims.group_of]
    tops += claims.groups
    most = {name: float(claim.most) for name, claim in claims.code_locations.items()}
    for name, group in claims.configured.items():
        members = sum(filled[member] for member in group.locations)
        most[group_key(name)] = min(
            math.inf if group.limit is None else max(group.limit, claims.groups[group_key(name)].in_progress),
            sum(most[member] for member in group.locations),
        )
        assert members == pytest.approx(filled[group_key(name)], abs=1e-6)
    assert all(-1e-9 <= share <= most[name] + 1e-9 for name, share in filled.items())
    total = sum(filled[name] for name in tops)
    assert total == pytest.approx(min(slots, sum(most[name] for name in tops)), abs=1e-5)


@given(st.dictionaries(st.sampled_from("abcdefgh"), any_claim), st.integers(0, 80))
def test_everybody_in_a_group_of_its_own_is_nobody_in_a_group(claims: dict[str, Claim], slots: int) -> None:
    """With the same weights, limits and minimums."""
    groups = {name: Group((name,), claim.limit, claim.weight, claim.min) for name, claim in claims.items()}
    grouped, alone = shares(Claims(claims, groups), slots), shares(Claims(claims), slots)
    assert {name: grouped[name] for name in alone} == pytest.approx(alone)


def test_credit_grows_by_the_share_and_falls_by_the_slots_held() -> None:
    """And is halved every half-life."""
    credit = Credit(NOW, {"a": 80.0}, rates={"b": -1.5, "c": 1.5}).advanced(NOW + 10, HOUR)
    assert credit.of("b") == pytest.approx(-15, rel=0.01)
    assert credit.of("c") == pytest.approx(15, rel=0.01)
    assert Credit(NOW, {"a": 80.0}).advanced(NOW + 2 * HOUR, HOUR).of("a") == pytest.approx(20)


def test_credit_is_the_same_in_one_step_and_in_many() -> None:
    """However often the daemon ticks."""
    rates = {"a": 3.0}
    once = Credit(NOW, {"a": 5.0}, rates=rates).advanced(NOW + 500, HOUR)
    often = Credit(NOW, {"a": 5.0})
    for second in range(5, 501, 5):
        often = replace(often, rates=rates).advanced(NOW + second, HOUR)
    assert often.of("a") == pytest.approx(once.of("a"))


def test_clocks_may_jump() -> None:
    """Back: no time has passed. Far forward: the daemon was away and gave nothing, so only a while counts."""
    rates = {"a": -3.0, "b": 1.0}
    credit = Credit(NOW, {"a": 5.0}, rates=rates)
    assert credit.advanced(NOW - 100, HOUR).slot_seconds == {"a": 5.0}
    away = credit.advanced(NOW + YEAR, HOUR)
    assert -3 * LONGEST_GAP <= away.of("a") < 0 < away.of("b") <= LONGEST_GAP
    assert Credit(rates=rates).advanced(NOW, HOUR).slot_seconds == {}


def test_who_vanishes_is_forgotten() -> None:
    """Once its credit has faded."""
    credit = Credit(NOW, {"a": 80.0, "b": -80.0}, {"a": 7.0}).advanced(NOW + 30 * HOUR, HOUR)
    assert (credit.slot_seconds, credit.faded) == ({}, {})


@pytest.mark.parametrize("half_life", [1e-300, 1.0, HOUR, YEAR, 1e300])
@pytest.mark.parametrize("stored", [10**400, -(10**400), math.nan, math.inf, 1e308, True, None, "1", [], {}])
def test_credit_is_bounded_whatever_is_stored(stored: Any, half_life: float) -> None:
    """And nothing that is stored ends a tick."""
    document = {
        "rates": {"a": stored},
        "at": stored,
        "slot_seconds": {"a": stored},
        "faded": {"a": stored, "b": 1.0},
        "blocked": stored,
    }
    for data in (stored, document, {**document, "at": NOW, "blocked": [stored, "b"]}):
        credit = (plain_data.read(Credit, data) or Credit()).advanced(NOW, half_life)
        for second in (1, 10**9):
            credit = replace(credit, rates={"a": -1e6, "b": 1e6}).advanced(NOW + second, half_life)
            assert all(abs(value) <= MOST for value in (*credit.slot_seconds.values(), *credit.faded.values()))
            standings = credit.standings({"a": 0.0, "b": 2.5})
            assert all(math.isfinite(standing.claim(3, 1)) for standing in standings.values())


def test_what_is_stored_is_what_was_there() -> None:
    """Across a restart."""
    credit = Credit(NOW, {"a": 1.5, group_key("x"): -3.25}, {"a": 0.125}, frozenset({"b"}))
    assert plain_data.read(Credit, plain_data.write(credit)) == credit


def test_what_was_offered_and_came_back_is_not_held() -> None:
    """Nor has its code location earned anything: its code server did not answer."""
    ledger = Ledger()
    ledger.settle(NOW, {}, HOUR)
    ledger.record(claims_of(a=1, b=1), 2, {"a": 1, "b": 1}, frozenset())
    credit = ledger.settle(NOW + 10, {"a": 1}, HOUR)
    assert credit.of("a") == 0
    assert credit.of("b") == pytest.approx(10, rel=0.01)


@dataclass
class Simulation:
    """Ticks of a daemon, with queues that don't end unless said otherwise.

    Attributes:
        slots: All slots.
        weights: Of each code location.
        seconds: How long a run of a code location takes.
        tick: The seconds from tick to tick.
        could_start: Whether runs of a code location could start at a moment.
        queued: The runs that a code location has queued at a moment.
        limits: Of code locations.
        minimums: Of code locations.
        groups: By name.
        half_life: Of credit.
        restarts: The number of ticks after which the daemon is restarted each time; 0 for never.
    """

    slots: int
    weights: Mapping[str, float]
    seconds: Callable[[str, random.Random], float] = lambda _name, chance: chance.uniform(20, 200)
    tick: float = 1.0
    could_start: Callable[[str, float], bool] = lambda _name, _now: True
    queued: Callable[[str, float], int] = lambda _name, _now: ENDLESS
    limits: Mapping[str, int] = field(default_factory=dict)
    minimums: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    half_life: float = HOUR
    restarts: int = 0
    starts: list[tuple[float, str]] = field(default_factory=list)

    def run(self, until: float) -> dict[str, float]:
        """Run for some seconds; returns the slots that each held on average, from tick to tick."""
        chance, ledger, now = random.Random(1), Ledger(), 0.0  # noqa: S311 - a simulation
        in_progress: list[tuple[str, float]] = []
        held: Counter[str] = Counter()
        for number in count():
            if now >= until:
                break
            if self.restarts and number % self.restarts == 0:
                stored = plain_data.read(Credit, plain_data.write(ledger.credit))
                ledger = Ledger()
                ledger.credit = stored
            credit = ledger.settle(NOW + now, {}, self.half_life)
            in_progress = [(name, end) for name, end in in_progress if end > now]
            claims = self._claims(Counter(name for name, _ in in_progress), now)
            free = max(0, self.slots - claims.in_progress)
            queues = {name: self._runs(name) for name, claim in claims.code_locations.items() if claim.startable}
            admission = admit(queues, Room(claims, free), lambda _name, _run: True, credit=credit)
            starts = Counter(name for name, _ in admission.runs)
            assert sum(starts.values()) == free or not admission.waiting, "a slot stays free"
            in_progress += [(name, now + self.seconds(name, chance)) for name, _ in admission.runs]
            self.starts += [(now, name) for name, _ in admission.runs]
            ledger.record(
                claims, self.slots, starts, frozenset(admission.blocked | (self.weights.keys() - queues.keys()))
            )
            for name, claim in claims.code_locations.items():
                held[name] += claim.in_progress + starts[name]
            now += self.tick
        return {name: held[name] / number for name in self.weights}

    def _claims(self, in_progress: Counter[str], now: float) -> Claims:
        of_each = {}
        for name, weight in self.weights.items():
            startable = self.queued(name, now) if self.could_start(name, now) else 0
            limit, least = self.limits.get(name), self.minimums.get(name, 0)
            of_each[name] = Claim(startable, in_progress[name], limit, weight, least)
        return Claims(of_each, self.groups)

    def _runs(self, name: str) -> Iterator[QueuedRun]:
        first = ENDLESS * list(self.weights).index(name)  # who is named first has come first
        return (QueuedRun(0, first + number) for number in count(1))

    def starts_from(self, begin: float, seconds: float) -> Counter[str]:
        """The starts of each within some seconds."""
        return Counter(name for at, name in self.starts if begin <= at < begin + seconds)


def equal(names: str) -> dict[str, float]:
    """The weights of code locations that have equal ones."""
    return dict.fromkeys(names, 1.0)


@pytest.mark.parametrize(
    ("slots", "of_weights"),
    [(5, {"a": 10, **equal("bcde")}), (6, {"a": 10, "b": 10, **equal("cdefghijklmn")})],
)
def test_a_heavy_weight_has_its_slots_though_others_hold_nothing(slots: int, of_weights: dict[str, float]) -> None:
    """3.57 of five slots beside 0.36 each; 1.88 of six slots beside 0.19 each."""
    held = Simulation(slots, of_weights, tick=2).run(3 * HOUR)
    for name, weight in of_weights.items():
        assert held[name] == pytest.approx(slots * weight / sum(of_weights.values()), abs=0.1)


def test_runs_shorter_than_a_tick_cost_the_tick() -> None:
    """4 s against 60 s on one slot, with a tick every 5 s: half of the time for each."""
    held = Simulation(1, equal("ab"), lambda name, _: {"a": 4, "b": 60}[name], tick=5).run(3 * HOUR)
    assert held == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.03)


def test_waiting_for_a_pool_earns_nothing() -> None:
    """D, e and f wait two hours for one. In the 45 minutes after all six have about as many starts."""
    simulation = Simulation(
        2,
        equal("abcdef"),
        lambda _name, chance: chance.uniform(20, 60),
        could_start=lambda name, now: name in "abc" or now > 7200,
    )
    simulation.run(3 * HOUR)
    starts = simulation.starts_from(7200, 2700)
    assert all(20 <= starts[name] <= 25 for name in "abcdef")


def test_who_waits_for_a_pool_locks_nobody_out() -> None:
    """X waits for one all the time; b comes after an hour, and shares the slot with a from then on."""
    simulation = Simulation(
        1,
        equal("abx"),
        lambda _name, _chance: 60,
        could_start=lambda name, now: name != "x" and (name == "a" or now > HOUR),
    )
    simulation.run(2 * HOUR)
    starts = simulation.starts_from(HOUR, 2700)
    assert abs(starts["a"] - starts["b"]) <= 2


def test_many_code_locations_have_their_due() -> None:
    """26 with weights of 1 to 3 on 20 slots, and runs of 20 s to 10 minutes."""
    of_weights = {chr(97 + number): 1.0 + number % 3 for number in range(26)}
    held = Simulation(20, of_weights, lambda _name, chance: chance.uniform(20, 600), tick=10).run(8 * HOUR)
    for name, weight in of_weights.items():
        assert held[name] == pytest.approx(20 * weight / sum(of_weights.values()), abs=0.1)


def test_a_late_one_starts_soon() -> None:
    """At the next slot that becomes free."""
    simulation = Simulation(
        2, equal("abz"), lambda _name, _chance: 120, could_start=lambda name, now: name != "z" or now > 5400
    )
    simulation.run(5700)
    assert min(at for at, name in simulation.starts if name == "z") <= 5400 + 121


def test_what_is_left_by_long_runs_is_shared_by_weight_too() -> None:
    """X holds 8 of 10 slots for the whole day; a and b with weights of 3 and 1 share the other two."""
    simulation = Simulation(
        10,
        {"x": 1, "a": 3, "b": 1},
        lambda name, _chance: 24 * HOUR if name == "x" else 60,
        tick=5,
        queued=lambda name, now: ENDLESS if (name == "x") is (now == 0) else 0,
        limits={"x": 8},
    )
    assert simulation.run(6 * HOUR) == pytest.approx({"x": 8, "a": 1.5, "b": 0.5}, abs=0.1)


@pytest.mark.parametrize("half_life", [1.0, HOUR, YEAR])
@pytest.mark.parametrize("of_weights", [{"a": 200, "b": 1}, {"a": 10, "b": 1}, equal("abcde")])
def test_nobody_waits_for_ever(of_weights: dict[str, float], half_life: float) -> None:
    """However small its share and however soon credit fades."""
    simulation = Simulation(1, of_weights, lambda _name, _chance: 60, tick=10, half_life=half_life)
    simulation.run(24 * HOUR)
    assert simulation.starts_from(12 * HOUR, 12 * HOUR).keys() == of_weights.keys()


@pytest.mark.parametrize("tick", [60.0, 300.0])
def test_ticks_may_be_minutes_apart(tick: float) -> None:
    """The slots don't swing from one to the other."""
    simulation = Simulation(5, equal("ab"), tick=tick)
    assert simulation.run(6 * HOUR) == pytest.approx({"a": 2.5, "b": 2.5}, abs=0.1)
    for at in {at for at, _ in simulation.starts}:
        assert max(simulation.starts_from(at, 1).values()) <= 3


def test_groups_have_their_due_and_then_their_code_locations() -> None:
    """Also what a limit of a group leaves goes to the others."""
    groups = {"x": Group(("a", "b"), weight=2.0, limit=1), "y": Group(("c", "d"))}
    held = Simulation(4, {**equal("abcde"), "d": 2.0}, tick=2, groups=groups).run(4 * HOUR)
    assert held == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.5, "d": 1.0, "e": 1.5}, abs=0.1)


def test_of_equals_the_first_to_come_goes_first() -> None:
    """Not the name."""
    claims = claims_of(a=1, b=1)
    queues = {"a": iter([QueuedRun(9, 7), QueuedRun(9, 8)]), "b": iter([QueuedRun(0, 1)])}
    admission = admit(queues, Room(claims, 2), lambda _name, _run: True, credit=Credit(NOW))
    assert [run.storage_id for _, run in admission.runs] == [1, 7]


@settings(max_examples=25)
@given(
    st.integers(2, 6).flatmap(
        lambda number: st.fixed_dictionaries(dict.fromkeys("abcdef"[:number], st.sampled_from([1.0, 2.0, 10.0])))
    ),
    st.integers(1, 8),
    st.sampled_from([1.0, HOUR, YEAR]),
    st.sampled_from([0, 40]),
    st.data(),
)
def test_over_a_long_time_everybody_holds_its_share_to_within_one_slot(
    of_weights: dict[str, float], slots: int, half_life: float, restarts: int, data: st.DataObject
) -> None:
    """Whatever the weights, limits and minimums, however long runs take, and though the daemon is restarted."""
    lengths = {name: data.draw(st.sampled_from([5.0, 20.0, 60.0, 200.0]), label=name) for name in of_weights}
    limits = data.draw(st.dictionaries(st.sampled_from(sorted(of_weights)), st.integers(1, 4)), label="limits")
    least = {
        min(of_weights): data.draw(st.integers(0, min(slots, limits.get(min(of_weights), slots))), label="min")
    }
    simulation = Simulation(
        slots,
        of_weights,
        lambda name, _chance: lengths[name],
        tick=10,
        limits=limits,
        minimums=least,
        half_life=half_life,
        restarts=restarts,
    )
    held = simulation.run(2 * HOUR)
    due = shares(simulation._claims(Counter(), 0), slots)
    assert all(abs(held[name] - due[name]) < 1 for name in of_weights)
