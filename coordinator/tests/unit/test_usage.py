"""What each code location has used of the slots lately: examples, and what it does to turns over a long time."""

import heapq
import math

import pytest
from clt_queued_run_coordinator.policy.claims import Claim, Claims
from clt_queued_run_coordinator.policy.sharing import allow
from clt_queued_run_coordinator.policy.usage import START_SECONDS, Usage
from hypothesis import given
from hypothesis import strategies as st

HALF_LIFE = 3600.0
NOW = 1_800_000_000.0


def test_use_is_halved_every_half_life() -> None:
    """With nothing in progress."""
    usage = Usage(NOW, {"a": 80.0})
    assert usage.advanced(NOW + HALF_LIFE, {}, HALF_LIFE).of("a") == pytest.approx(40.0)
    assert usage.advanced(NOW + 3 * HALF_LIFE, {}, HALF_LIFE).of("a") == pytest.approx(10.0)


def test_a_slot_held_for_a_short_time_counts_its_seconds() -> None:
    """Two runs for ten seconds are twenty slot-seconds, but for what decays meanwhile."""
    usage = Usage(NOW).advanced(NOW + 10, {"a": 2}, HALF_LIFE)
    assert usage.of("a") == pytest.approx(20.0, rel=0.01)


def test_use_is_the_same_in_one_step_and_in_many() -> None:
    """However often the daemon ticks."""
    once = Usage(NOW, {"a": 5.0}).advanced(NOW + 7200, {"a": 3}, HALF_LIFE)
    often = Usage(NOW, {"a": 5.0})
    for second in range(60, 7201, 60):
        often = often.advanced(NOW + second, {"a": 3}, HALF_LIFE)
    assert often.of("a") == pytest.approx(once.of("a"))


def test_a_slot_held_for_ever_is_bounded() -> None:
    """So no code location owes without end."""
    usage = Usage(NOW).advanced(NOW + 1000 * HALF_LIFE, {"a": 1}, HALF_LIFE)
    assert usage.of("a") == pytest.approx(HALF_LIFE / math.log(2))


def test_a_clock_that_goes_back_changes_nothing() -> None:
    """Nothing is earned, nothing is owed."""
    usage = Usage(NOW, {"a": 5.0}).advanced(NOW - 100, {"a": 3}, HALF_LIFE)
    assert usage.of("a") == 5.0


def test_the_first_reading_counts_nothing() -> None:
    """What ran before this package was there is not known."""
    assert Usage().advanced(NOW, {"a": 3}, HALF_LIFE).of("a") == 0.0


def test_a_start_is_charged_and_taken_back() -> None:
    """A run that was offered and did not start has cost nothing."""
    usage = Usage(NOW, {"a": 5.0}).charged({"a": 2, "b": 1})
    assert (usage.of("a"), usage.of("b")) == (5.0 + 2 * START_SECONDS, START_SECONDS)
    assert usage.charged({"a": -2, "b": -1}).of("b") == 0.0


@pytest.mark.parametrize(
    ("used", "level"),
    [
        pytest.param(0.0, 99.0, id="idled: no credit but a start"),
        pytest.param(150.0, 150.0, id="in between: as it was"),
        pytest.param(9000.0, 200.0, id="used much before: no more debt than the others"),
    ],
)
def test_who_comes_back_is_set_level_with_the_others(used: float, level: float) -> None:
    """Neither idling nor having used slots that nobody else wanted decides over many turns."""
    there = Usage(NOW, {"a": 100.0, "b": 200.0, "c": used}, frozenset({"a", "b"}))
    assert there.joined_by([{"a": 1.0, "b": 1.0, "c": 1.0}]).of("c") == level


def test_who_was_there_all_the_time_keeps_what_it_has() -> None:
    """Only coming back changes anything."""
    usage = Usage(NOW, {"a": 100.0, "b": 3.0}, frozenset({"a", "b"}))
    assert usage.joined_by([{"a": 1.0, "b": 1.0}]).of("b") == 3.0


@pytest.mark.parametrize(
    "data",
    [
        None,
        7,
        [],
        {"at": 1},
        {"at": "x", "slot_seconds": {}, "competing": []},
        {"at": 1, "slot_seconds": [], "competing": []},
        {"at": 1, "slot_seconds": {"a": None}, "competing": []},
        {"at": 1, "slot_seconds": {"a": float("nan")}, "competing": []},
        {"at": float("inf"), "slot_seconds": {}, "competing": []},
        {"at": 1, "slot_seconds": {}, "competing": 5},
    ],
)
def test_what_cannot_be_understood_is_no_use(data: object) -> None:
    """A stored state that somebody has damaged stops no tick."""
    assert Usage.from_data(data) == Usage()


def test_what_is_stored_is_what_was_there() -> None:
    """Across a restart."""
    usage = Usage(NOW, {"a": 1.5}, frozenset({"a", "b"}))
    assert Usage.from_data(usage.as_data()) == usage


class Simulation:
    """A queue that never ends, on slots that are always in use; ticks happen when a run ends.

    Args:
        weights: Of each code location.
        seconds: How long the runs of each code location take.
        slots: All slots.
    """

    def __init__(self, weights: dict[str, float], seconds: dict[str, float], slots: int) -> None:
        self.weights, self.seconds, self.slots = weights, seconds, slots
        self.queued = dict.fromkeys(weights, 10**9)
        self.usage = Usage()
        self.in_progress = dict.fromkeys(weights, 0)
        self.starts: list[str] = []
        self.slot_seconds = dict.fromkeys(weights, 0.0)
        self.now = NOW
        self._ends: list[tuple[float, str]] = []

    def tick(self) -> None:
        """Let the next run end, and fill the slot."""
        if self._ends:
            at, name = heapq.heappop(self._ends)
            for of, running in self.in_progress.items():
                self.slot_seconds[of] += running * (at - self.now)
            self.usage = self.usage.advanced(at, self.in_progress, HALF_LIFE * 24)
            self.now = at
            self.in_progress[name] -= 1
        self.usage = self.usage.joined_by([{name: self.weights[name] for name in self._competing()}])
        claims = {
            name: Claim(self.queued[name], self.in_progress[name], None, self.weights[name], self.usage.of(name))
            for name in self.weights
        }
        for name, allowed in allow(Claims.of(claims), self.slots).items():
            for _ in range(allowed - self.in_progress[name]):
                heapq.heappush(self._ends, (self.now + self.seconds[name], name))
                self.starts.append(name)
                self.usage = self.usage.charged({name: 1})
                self.queued[name] -= 1
            self.in_progress[name] = allowed

    def _competing(self) -> list[str]:
        return [name for name in self.weights if self.queued[name] or self.in_progress[name]]

    def shares(self) -> dict[str, float]:
        """The slots that each has held on average."""
        passed = self.now - NOW
        return {name: seconds / passed for name, seconds in self.slot_seconds.items()}


names = ("a", "b", "c", "d", "e")
weights_of_some = st.integers(2, 5).flatmap(
    lambda number: st.fixed_dictionaries({name: st.sampled_from([1.0, 2.0, 3.0]) for name in names[:number]})
)


@given(weights_of_some, st.integers(1, 6), st.data())
def test_over_a_long_time_slots_follow_the_weights(
    weights: dict[str, float], slots: int, data: st.DataObject
) -> None:
    """Each holds its weighted share of the slots on average, to within one slot, however long its runs take.

    Slots are whole and the fewest running runs go first, so a share of 1.2 beside two of 0.4 becomes 1.0 and 0.5.
    """
    seconds = {name: data.draw(st.sampled_from([20.0, 60.0, 200.0]), label=name) for name in weights}
    simulation = Simulation(weights, seconds, slots)
    for _ in range(1500):
        simulation.tick()
    total = sum(weights.values())
    for name, share in simulation.shares().items():
        assert abs(share - slots * weights[name] / total) < 1


@given(weights_of_some, st.sampled_from([1.0, 30.0, 600.0]))
def test_one_slot_goes_round_by_weight(weights: dict[str, float], seconds: float) -> None:
    """With runs of one length the starts follow the weights, to within three, at any moment."""
    simulation = Simulation(weights, dict.fromkeys(weights, seconds), 1)
    total = sum(weights.values())
    for starts in range(1, 301):
        simulation.tick()
        for name, weight in weights.items():
            assert abs(simulation.starts.count(name) - starts * weight / total) <= 3


@given(weights_of_some, st.integers(1, 3), st.integers(5, 200), st.sampled_from([2.0, 60.0]))
def test_a_late_code_location_gets_the_next_free_slot(
    weights: dict[str, float], slots: int, starts_before: int, seconds: float
) -> None:
    """Where nobody else waits with nothing in progress it does so by max-min fairness, else by what was used."""
    simulation = Simulation({**weights, "late": 1.0}, {**dict.fromkeys(weights, seconds), "late": 5.0}, slots)
    simulation.queued["late"] = 0
    for _ in range(starts_before):
        simulation.tick()
    simulation.queued["late"] = 1
    before = len(simulation.starts)
    simulation.tick()
    assert simulation.starts[before:] == ["late"]


@given(weights_of_some, st.integers(20, 400))
def test_idling_earns_one_start(weights: dict[str, float], starts_before: int) -> None:
    """Who comes back with a flood gets no more turns in a row than its weight is worth, and one."""
    simulation = Simulation({**weights, "idle": 1.0}, dict.fromkeys((*weights, "idle"), 30.0), 1)
    simulation.queued["idle"] = 0
    for _ in range(starts_before):
        simulation.tick()
    simulation.queued["idle"] = 1000
    before = len(simulation.starts)
    for _ in range(60):
        simulation.tick()
    fair = 60 / (sum(weights.values()) + 1)
    assert simulation.starts[before:].count("idle") <= fair + 3
