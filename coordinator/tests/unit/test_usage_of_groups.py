"""What groups have used of the slots lately, and what it does to their turns over a long time."""

import heapq
from collections.abc import Mapping

from clt_queued_run_coordinator.config.options import Group
from clt_queued_run_coordinator.policy.claims import Claim, Claims, group_key, levels, with_groups
from clt_queued_run_coordinator.policy.sharing import allow
from clt_queued_run_coordinator.policy.usage import Usage
from hypothesis import given, settings
from hypothesis import strategies as st

HALF_LIFE = 3600.0 * 24
NOW = 1_800_000_000.0


class Simulation:
    """Slots that are always in use by queues that don't end; ticks happen when a run ends.

    Args:
        weights: Of each code location.
        groups: By name.
        slots: All slots.
        seconds: How long the runs of each code location take.
    """

    def __init__(
        self, weights: Mapping[str, float], groups: Mapping[str, Group], slots: int, seconds: Mapping[str, float]
    ) -> None:
        self.weights, self.groups, self.slots, self.seconds = weights, groups, slots, seconds
        self.queued = dict.fromkeys(weights, 10**9)
        self.usage = Usage()
        self.in_progress = dict.fromkeys(weights, 0)
        self.slot_seconds = dict.fromkeys(weights, 0.0)
        self.starts: list[str] = []
        self.now = NOW
        self._ends: list[tuple[float, str]] = []

    def tick(self) -> None:
        """Let the next run end, and fill the slot."""
        if self._ends:
            at, name = heapq.heappop(self._ends)
            for of, running in self.in_progress.items():
                self.slot_seconds[of] += running * (at - self.now)
            self.usage = self.usage.advanced(at, with_groups(self.in_progress, self.groups), HALF_LIFE)
            self.now = at
            self.in_progress[name] -= 1
        there = {name: self.weights[name] for name in self.weights if self.queued[name] or self.in_progress[name]}
        self.usage = self.usage.joined_by(levels(there, self.groups))
        claims = {
            name: Claim(self.queued[name], self.in_progress[name], None, self.weights[name], self.usage.of(name))
            for name in self.weights
        }
        for name, allowed in allow(Claims.of(claims, self.groups, self.usage), self.slots).items():
            starts = allowed - self.in_progress[name]
            for _ in range(starts):
                heapq.heappush(self._ends, (self.now + self.seconds[name], name))
                self.starts.append(name)
                self.queued[name] -= 1
            self.usage = self.usage.charged(with_groups({name: starts}, self.groups))
            self.in_progress[name] = allowed

    def shares(self) -> dict[str, float]:
        """The slots that each code location has held on average."""
        return {name: seconds / (self.now - NOW) for name, seconds in self.slot_seconds.items()}


weight = st.sampled_from([1.0, 2.0, 3.0])


@settings(max_examples=25)
@given(st.fixed_dictionaries(dict.fromkeys("abcde", weight)), weight, weight, st.integers(1, 6), st.data())
def test_over_a_long_time_slots_follow_the_weights_of_groups_and_then_within(
    weights: dict[str, float], of_x: float, of_y: float, slots: int, data: st.DataObject
) -> None:
    """Each group holds its weighted share on average, to within one slot, however long its runs take."""
    groups = {"x": Group(("a", "b"), weight=of_x), "y": Group(("c", "d"), weight=of_y)}
    seconds = {name: data.draw(st.sampled_from([20.0, 60.0, 200.0]), label=name) for name in weights}
    simulation = Simulation(weights, groups, slots, seconds)
    for _ in range(800):
        simulation.tick()
    shares = simulation.shares()
    held = with_groups(shares, groups)
    total = of_x + of_y + weights["e"]
    assert abs(held["e"] - slots * weights["e"] / total) < 1
    for name, group in groups.items():
        of_group = held[group_key(name)]
        assert abs(of_group - slots * group.weight / total) < 1
        for member in group.locations:
            part = weights[member] / sum(weights[of_it] for of_it in group.locations)
            assert abs(shares[member] - of_group * part) < 1


@settings(max_examples=25)
@given(st.integers(2, 30), st.sampled_from([5.0, 60.0]))
def test_code_locations_that_take_turns_in_having_work_cost_their_group_nothing(
    starts_each: int, seconds: float
) -> None:
    """A and b have work by turns; as one group they get half of one slot beside c, as one code location would."""
    groups = {"x": Group(("a", "b"))}
    simulation = Simulation(dict.fromkeys("abc", 1.0), groups, 1, dict.fromkeys("abc", seconds))
    simulation.queued["b"] = 0
    for starts in range(1, 201):
        simulation.tick()
        of_group = len(simulation.starts) - simulation.starts.count("c")
        assert abs(of_group - starts / 2) <= 2
        if of_group % starts_each == 0:
            at_work = "a" if of_group // starts_each % 2 == 0 else "b"
            for name in ("a", "b"):
                simulation.queued[name] = 10**9 if name == at_work else 0


@settings(max_examples=25)
@given(st.integers(20, 300), st.sampled_from([5.0, 60.0]))
def test_a_group_that_comes_back_has_no_more_than_a_start_of_credit(starts_before: int, seconds: float) -> None:
    """While c had the slot for itself the group earned nothing."""
    groups = {"x": Group(("a", "b"))}
    simulation = Simulation(dict.fromkeys("abc", 1.0), groups, 1, dict.fromkeys("abc", seconds))
    simulation.queued |= {"a": 0, "b": 0}
    for _ in range(starts_before):
        simulation.tick()
    simulation.queued |= {"a": 10**9, "b": 10**9}
    for _ in range(40):
        simulation.tick()
    assert abs(simulation.starts[starts_before:].count("c") - 20) <= 2
