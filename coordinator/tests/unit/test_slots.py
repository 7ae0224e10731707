"""Runs of any size: no limit is exceeded, nobody starves, everybody has its share, and what holding back costs."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from clt_queued_run_coordinator.config import plain_data
from clt_queued_run_coordinator.config.options import Group
from clt_queued_run_coordinator.policy.admission import admit
from clt_queued_run_coordinator.policy.claims import Claim, Claims
from clt_queued_run_coordinator.policy.credit import Credit, Ledger, shares
from clt_queued_run_coordinator.policy.queued_run import QueuedRun
from clt_queued_run_coordinator.policy.room import Room, holding_back
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = 1_800_000_000.0
HOUR = 3600.0


def admitted(
    queues: Mapping[str, list[QueuedRun]],
    claims: Claims,
    free: int | None,
    hold_back: list[tuple[str, QueuedRun]] | None = None,
) -> tuple[list[int], dict[str, QueuedRun]]:
    """The runs that start in Dagster's order, and those that were passed."""
    waiting = {name: iter(sorted(runs, key=lambda run: run.place)) for name, runs in queues.items()}
    found = admit(waiting, Room(claims, free), lambda _name, _run: True, hold_back=hold_back or [])
    return [run.storage_id for _, run in found.runs], found.passed


def claims_of(queues: Mapping[str, list[QueuedRun]], limit: int | None = None) -> Claims:
    """With nothing in progress."""
    return Claims({name: Claim(sum(run.slots for run in runs), limit=limit) for name, runs in queues.items()})


def test_smaller_runs_pass_one_that_does_not_fit() -> None:
    """Those of its own code location too, in their order."""
    queues = {"a": [QueuedRun(0, 1, 8), QueuedRun(0, 2, 2), QueuedRun(0, 4, 2)], "b": [QueuedRun(0, 3, 1)]}
    assert admitted(queues, Claims({"a": Claim(12, 5), "b": Claim(1)}), 3) == ([2, 3], {"a": queues["a"][0]})


def test_the_slots_that_are_too_few_for_who_holds_back_are_kept_and_no_others() -> None:
    """Its code location's where its limit is short, and all where the total is."""
    large = QueuedRun(0, 1, 8)
    queues = {"a": [large, QueuedRun(0, 2, 1)], "b": [QueuedRun(0, 3, 1)]}
    short_of_limit = Claims({"a": Claim(9, 5, limit=10), "b": Claim(1)})
    assert admitted(queues, short_of_limit, 20, [("a", large)])[0] == [3]
    assert admitted(queues, Claims({"a": Claim(9, 5), "b": Claim(1)}), 3, [("a", large)])[0] == []
    assert admitted(queues, Claims({"a": Claim(9, 5), "b": Claim(1)}), 8, [("a", large)])[0] == [1]


def test_what_never_fits_keeps_nothing() -> None:
    """Its limit may have been lowered while it was queued."""
    large = QueuedRun(0, 1, 8)
    queues = {"a": [large, QueuedRun(0, 2, 1)]}
    assert admitted(queues, claims_of(queues, limit=4), 20, [("a", large)]) == ([2], {})


def test_who_has_only_a_run_that_does_not_fit_is_not_blocked() -> None:
    """It waits for slots, so it has a share; who has only one that never fits doesn't."""
    queues = {"a": [QueuedRun(0, 1, 8)], "b": [QueuedRun(0, 2, 90)]}
    claims = Claims({"a": Claim(8, 10), "b": Claim(90)})
    found = admit({name: iter(runs) for name, runs in queues.items()}, Room(claims, 3), lambda _name, _run: True)
    assert found.blocked == {"b"}


@dataclass
class Simulation:
    """Ticks of a daemon with runs of several sizes.

    Attributes:
        total: All slots.
        sizes: What runs of a code location take, one after the other.
        runs: How many of each are queued at the beginning.
        weights: Of code locations; 1 where none is named.
        limits: Of code locations.
        minimums: Of code locations.
        groups: By name.
        fair: Whether slots are shared fairly.
        hold_back_after: The seconds after which a run holds back.
        restarts: After so many ticks the daemon is restarted each time; 0 for never.
        priorities: Whether some runs have a higher priority.
        paused: A code location that may start nothing in the first hour.
    """

    total: int
    sizes: Mapping[str, list[int]]
    runs: int
    weights: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    minimums: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    fair: bool = True
    hold_back_after: float = 300.0
    restarts: int = 0
    priorities: bool = False
    paused: str = ""
    seed: int = 1
    tick: float = 10.0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - a simulation
        self.queues: dict[str, list[QueuedRun]] = {name: [] for name in self.sizes}
        number = 0
        for turn in range(self.runs):
            for name, sizes in self.sizes.items():
                number += 1
                priority = self.chance.choice([0, 0, 0, 1]) if self.priorities else 0
                self.queues[name].append(QueuedRun(priority, number, sizes[turn % len(sizes)]))
        for runs in self.queues.values():
            runs.sort(key=lambda run: run.place)
        self.by_id = {run.storage_id: (name, run) for name, runs in self.queues.items() for run in runs}
        self.in_progress: list[tuple[str, int, float]] = []
        self.passed: dict[int, float] = {}
        self.ledger = Ledger()
        self.ticks = 0
        self.held: Counter[str] = Counter()
        self.used = 0

    def step(self) -> None:
        """One tick, in which no limit may be exceeded, and nothing may idle that nothing is kept for."""
        now = NOW + self.ticks * self.tick
        self.in_progress = [run for run in self.in_progress if run[2] > now]
        if self.restarts and self.ticks % self.restarts == 0:
            stored = plain_data.read(Credit, plain_data.write(self.ledger.credit))
            self.ledger = Ledger()
            self.ledger.credit = stored
            self.passed = plain_data.read(dict[int, float], plain_data.write(self.passed))
        credit = self.ledger.settle(now, {}, HOUR)
        claims = self._claims(now)
        free = self.total - claims.in_progress
        self.passed = {of: since for of, since in self.passed.items() if of in self.by_id}
        hold_back = [self.by_id[of] for of in holding_back(self.passed, now, self.hold_back_after)]
        found = admit(
            {name: iter(runs) for name, runs in self.queues.items() if runs and claims.room(name) != 0},
            Room(claims, free),
            lambda _name, _run: True,
            credit=credit if self.fair else None,
            hold_back=hold_back,
        )
        starts: Counter[str] = Counter()
        for name, run in found.runs:
            starts[name] += run.slots
            self.queues[name].remove(run)
            del self.by_id[run.storage_id]
            self.in_progress.append((name, run.slots, now + self.chance.uniform(20, 200)))
        for run in found.passed.values():
            self.passed.setdefault(run.storage_id, now)
        self._check(claims.after(starts), free - starts.total(), is_kept=bool(hold_back))
        self.ledger.record(claims, self.total, starts, frozenset(found.blocked))
        for name, claim in claims.code_locations.items():
            self.held[name] += claim.in_progress + starts[name]
            self.used += claim.in_progress + starts[name]
        self.ticks += 1

    def _claims(self, now: float) -> Claims:
        of_each = {}
        for name, runs in self.queues.items():
            is_paused = name == self.paused and now < NOW + HOUR
            of_each[name] = Claim(
                sum(run.slots for run in runs),
                sum(slots for of, slots, _ in self.in_progress if of == name),
                0 if is_paused else self.limits.get(name),
                self.weights.get(name, 1.0),
                self.minimums.get(name, 0),
            )
        return Claims(of_each, self.groups)

    def _check(self, after: Claims, free: int, *, is_kept: bool) -> None:
        assert free >= 0
        for claim in after.everybody.values():
            assert claim.limit is None or claim.limit == 0 or claim.in_progress <= claim.limit
        if not is_kept:
            for name, runs in self.queues.items():
                room = after.room(name)
                assert all(run.slots > free or (room is not None and run.slots > room) for run in runs)


sizes = st.lists(st.sampled_from([1, 1, 1, 2, 3, 4, 8, 16]), min_size=1, max_size=4)


@st.composite
def simulations(draw: st.DrawFn) -> Simulation:
    """A few code locations, of which each may be in a group, limited, paused or have a minimum."""
    names = "abcd"[: draw(st.integers(1, 4))]
    of_sizes = {name: draw(sizes) for name in names}
    largest = {name: max(of) for name, of in of_sizes.items()}
    limits = {name: largest[name] + draw(st.integers(0, 8)) for name in names if draw(st.booleans())}
    members = tuple(name for name in names if draw(st.booleans()))
    of_group = max((largest[name] for name in members), default=0) + draw(st.integers(0, 8))
    return Simulation(
        max(largest.values()) + draw(st.integers(0, 16)),
        of_sizes,
        12,
        limits=limits,
        minimums={names[0]: draw(st.integers(0, limits.get(names[0], 4)))},
        groups={"x": Group(members, limit=of_group)} if members else {},
        weights={name: draw(st.sampled_from([1.0, 3.0])) for name in names},
        fair=draw(st.booleans()),
        hold_back_after=draw(st.sampled_from([1.0, 60.0, 300.0])),
        restarts=draw(st.sampled_from([0, 7])),
        priorities=draw(st.booleans()),
        paused=draw(st.sampled_from(["", names[-1]])),
    )


@settings(max_examples=40)
@given(simulations())
def test_no_limit_is_exceeded_nothing_idles_without_need_and_every_run_starts(simulation: Simulation) -> None:
    """Whatever the sizes, limits, groups, minimums, priorities and pauses, and though the daemon is restarted."""
    while any(simulation.queues.values()):
        simulation.step()
        assert simulation.ticks * simulation.tick < 24 * HOUR, "a run starves"


@settings(max_examples=10)
@given(
    st.dictionaries(st.sampled_from("abc"), sizes, min_size=2),
    st.integers(16, 32),
    st.sampled_from([1.0, 3.0]),
    st.sampled_from([0, 40]),
)
def test_everybody_holds_its_share_to_within_its_largest_run(
    of_sizes: dict[str, list[int]], total: int, weight: float, restarts: int
) -> None:
    """Of what is used: while slots are kept for a large run, they are nobody's."""
    first = min(of_sizes)
    simulation = Simulation(total, of_sizes, 800, weights={first: weight}, restarts=restarts)
    while simulation.ticks < 200:
        simulation.step()
    assert all(simulation.queues.values())
    due = shares(simulation._claims(NOW), simulation.used / simulation.ticks)
    largest = max(map(max, of_sizes.values()))
    for name in of_sizes:
        assert simulation.held[name] / simulation.ticks == pytest.approx(due[name], abs=largest)


@pytest.mark.parametrize("fair", [False, True])
def test_a_large_run_among_small_ones_starts_soon_after_it_begins_to_hold_back(fair: bool) -> None:
    """Small ones take every slot that becomes free, each for at most 200 seconds."""
    simulation = Simulation(20, {"a": [1], "b": [16, *[1] * 10_000]}, 800, fair=fair)
    simulation.queues["b"].sort(key=lambda run: run.slots)
    simulation.step()
    simulation.queues["b"].sort(key=lambda run: run.place)
    large = simulation.queues["b"][0]
    while large in simulation.queues["b"]:
        assert large.slots == 16
        simulation.step()
    assert 300 <= simulation.ticks * simulation.tick <= 300 + 200 + 20
