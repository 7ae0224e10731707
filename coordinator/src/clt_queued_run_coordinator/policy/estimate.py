"""When a queued run will start: a range, from replays of what comes. Pure.

In a replay the runs in progress end, each after a time drawn from how long runs of its job took lately. Then
`admission` decides what starts, with the limits of that moment. Nobody knows which runs will be queued later, so
none is.
"""

import heapq
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from itertools import chain, count, repeat
from random import Random
from typing import NamedTuple

from clt_queued_run_coordinator.policy.admission import admit
from clt_queued_run_coordinator.policy.claims import Claim, Claims
from clt_queued_run_coordinator.policy.credit import HORIZON_SECONDS, Ledger
from clt_queued_run_coordinator.policy.job_and_backfill_limits import JobAndBackfillLimits
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import JobAndBackfill, QueuedRun
from clt_queued_run_coordinator.policy.room import Room, holding_back
from clt_queued_run_coordinator.text.formats import duration

LEAST_MEASURED = 5
"""With fewer measured runs than this, nothing is said about how long others take."""

REPLAYS = 40
"""The number of replays if each is short ..."""

LEAST_REPLAYS = 6
"""... and the number if they are long."""

WORK = 15_000
"""How many code locations and runs all replays look at together: about 0.25 seconds ..."""

_OF_A_TICK = 5
"""... where each tick counts as this many of them, whatever it looks at."""

_FINEST, _COARSEST = 1 / 16, 1 / 4
"""The further ahead, the more ends of runs are taken together: those within a part of the time till then. It is
larger where more code locations compete."""

_EVENT = 0.001
"""Seconds by which a moment is later than the change of limits that it follows, so that rounding can't hide it."""


class Job(NamedTuple):
    """A job of a code location; without a name, all of its jobs together."""

    code_location: str
    name: str = ""


class Waiting(NamedTuple):
    """A queued run: its place, its job, what limits within it depend on, and if a pool or a tag limit holds it."""

    run: QueuedRun
    job: Job
    of: JobAndBackfill = JobAndBackfill()
    is_held: bool = False


class Running(NamedTuple):
    """A run in progress: its job, what limits depend on, for how many seconds it has held its slots, how many."""

    job: Job
    of: JobAndBackfill = JobAndBackfill()
    lasted: float = 0.0
    slots: int = 1


@dataclass(frozen=True)
class Estimate:
    """When a queued run will start, if nothing else is queued that goes first.

    Attributes:
        earliest_seconds: The least number of seconds until it starts; None if nothing can be said.
        latest_seconds: The largest number of seconds until it starts; None if that can't be said.
        measured_runs: The number of measured runs that this rests on.
        why_not: Why there is no range, or no end of it, in one line; None if there is one.
    """

    earliest_seconds: int | None = None
    latest_seconds: int | None = None
    measured_runs: int = 0
    why_not: str | None = None

    @property
    def in_short(self) -> str:
        """When it starts, in a few words; empty if that can't be told."""
        if self.earliest_seconds is None:
            return ""
        soonest = duration(self.earliest_seconds)
        return (
            f"in {soonest} to {duration(self.latest_seconds)}"
            if self.latest_seconds
            else f"in more than {soonest}"
        )

    @property
    def in_words(self) -> str:
        """The estimate in one line."""
        if self.earliest_seconds is None:
            return f"When it starts can't be told: {self.why_not}"
        but = self.why_not or "if nothing more is queued that goes first"
        return f"Starts {self.in_short}, by {self.measured_runs} measured runs, {but}"


class NotMeasuredError(Exception):
    """Too few runs of a job and of its whole code location have been measured. The message says so."""

    def __init__(self, job: Job) -> None:
        super().__init__(
            f"it depends on how long runs of job {job.name} of {job.code_location or 'no code location'} take, and"
            f" fewer than {LEAST_MEASURED} finished runs of it have been found"
        )


@dataclass(frozen=True)
class Workload:
    """What is queued and in progress at one moment, and how long runs take.

    Attributes:
        state: The queue at this moment.
        queued: The first queued runs of each code location that can take something from the run, in order.
        running: The runs in progress of the same code locations.
        lengths: The seconds for which finished runs of each job held their slots, ascending.
        interval: The seconds between two ticks.
    """

    state: QueueState
    queued: Mapping[str, Sequence[Waiting]]
    running: Sequence[Running]
    lengths: Mapping[Job, Sequence[float]]
    interval: float
    _claims: dict[int, Claims] = field(default_factory=dict)

    @cached_property
    def slots(self) -> float:
        """The slots of these code locations together; infinite where they can't run out."""
        return self.state.slots if self.queued.keys() >= self.state.claims.code_locations.keys() else math.inf

    @cached_property
    def by_id(self) -> dict[int, Waiting]:
        """The first queued runs by the storage's ids."""
        return {of.run.storage_id: of for queue in self.queued.values() for of in queue}

    @cached_property
    def _ends(self) -> list[float]:
        """When limits that are in force end, in seconds from now."""
        live = self.state.live
        changes = (live.limits, live.pauses, live.limits_until, live.pauses_until, live.breakers)
        untils = {change.until for of_kind in changes for change in of_kind.values()}
        untils |= {in_force.until for in_force in self.state.limits.values()}
        return sorted((until - live.read_at).total_seconds() + _EVENT for until in untils if until)

    def claims_at(self, seconds: float) -> Claims:
        """The claims with the limits in force at a later moment, and the runs as they are now."""
        windows = "windows" in self.state.settings.code_location_limits.used
        key = int(seconds // 60) if windows else bisect_right(self._ends, seconds)
        if key not in self._claims:
            live = self.state.live.at(self.state.live.read_at + timedelta(seconds=seconds))
            self._claims[key] = replace(self.state, live=live).claims
        return self._claims[key]

    def next_change(self, seconds: float) -> float:
        """When a limit that is in force now ends next after a moment; infinite for never."""
        return next((end for end in self._ends if end > seconds), math.inf)


def competing(state: QueueState, code_location: str) -> set[str]:
    """The code locations that can take something from a run: only its group while slots can't run out."""
    everybody = state.claims.code_locations
    if sum(claim.most for claim in everybody.values()) > state.slots:
        return {*everybody}
    group = state.settings.code_location_limits.group(code_location)
    return {code_location, *(group.locations if group else ())} & everybody.keys()


def estimate(workload: Workload, storage_ids: Sequence[int]) -> dict[int, Estimate]:
    """When queued runs will start; runs that nothing known of lets start are left out.

    Args:
        workload: What is queued, in progress and measured.
        storage_ids: The runs. The same ones have the same estimates as long as nothing changes.
    """
    starts: dict[int, list[float]] = {storage_id: [] for storage_id in storage_ids}
    too_far: set[int] = set()
    found: dict[int, Estimate] = {}
    measured: dict[Job, int] = {}
    work = replays = 0
    while starts and (replays < LEAST_REPLAYS or (replays < REPLAYS and work < WORK * (1 - 1 / LEAST_REPLAYS))):
        chance = Random(storage_ids[0] * REPLAYS + replays)  # noqa: S311 - nothing to keep secret
        replay = _Replay(workload, chance, holds=replays % 2 == 0)
        missing = {*starts}
        try:
            for storage_id, start in replay.starts():
                if storage_id in missing:
                    starts[storage_id].append(start)
                    missing.remove(storage_id)
                    if not missing:
                        break
        except NotMeasuredError as error:
            found |= dict.fromkeys(missing, Estimate(why_not=str(error)))
        for storage_id in missing:
            if storage_id in found or replay.seconds == math.inf:
                del starts[storage_id]
            else:
                starts[storage_id].append(replay.seconds)
                too_far.add(storage_id)
        measured |= {job: len(lengths) for job, lengths in replay.drawn_from.items()}
        work += replay.work
        replays += 1
    for storage_id, of_run in starts.items():
        rests_on, margin = sum(measured.values()), (max(of_run) - min(of_run)) / replays  # wider if they are few
        earliest = max(0, math.floor(min(of_run) - margin))
        found[storage_id] = (
            Estimate(earliest, None, rests_on, "with too many runs before it to tell more")
            if storage_id in too_far
            else Estimate(earliest, math.ceil(max(of_run) + margin), rests_on)
        )
    return found


class _Replay:
    """One replay. What a pool or a tag limit holds now stays held, or is free at once: nobody knows which."""

    def __init__(self, workload: Workload, random: Random, *, holds: bool) -> None:
        self._workload, self._random, self._holds = workload, random, holds
        state = workload.state
        queued = state.queued if state.queued_slots is None else state.queued_slots
        self._waiting = Counter({name: queued.get(name, 0) for name in workload.queued})
        """The slots that queued runs take."""
        self._held: Counter[str] = Counter()
        self._passed = dict(state.passed)
        self._gone: dict[str, int] = dict.fromkeys(workload.queued, 0)
        self._started: set[int] = set()
        self._earned: dict[str, float] = {}
        self._ledger = Ledger()
        self._ledger.credit = workload.state.credit
        self._ends: list[tuple[float, int, Running]] = []
        self._number = count()
        self.drawn_from: dict[Job, Sequence[float]] = {}
        self.work = 0
        self.seconds = 0.0
        """How far it has got, in seconds from now."""

    def starts(self) -> Iterator[tuple[int, float]]:
        """The queued runs in the order in which they start, with the seconds until then.

        It ends at infinity if nothing more happens, and before that if there is too much to look at.

        Raises:
            NotMeasuredError: It depends on a job of which too few runs have been measured.
        """
        coarse = min(_COARSEST, max(_FINEST, len(self._waiting) / 160))
        for run in self._workload.running:
            self._run(run, -run.lasted)
        while self.work < WORK // LEAST_REPLAYS and self.seconds < math.inf:
            ended = []
            while self._ends and self._ends[0][0] <= self.seconds:
                end, _, run = heapq.heappop(self._ends)
                self._held[run.job.code_location] -= run.slots
                ended.append(end)
            free_since = chain(ended, repeat(self.seconds))
            for waiting in self._admitted():
                start = next(free_since) + self._random.uniform(0.0, self._workload.interval)
                yield waiting.run.storage_id, start
                self._run(Running(waiting.job, waiting.of, slots=waiting.run.slots), start)
            event = min(self._workload.next_change(self.seconds), self._ends[0][0] if self._ends else math.inf)
            if event > self.seconds:
                self.seconds = max(event, self.seconds + max(self._workload.interval, self.seconds * coarse))

    def _admitted(self) -> list[Waiting]:
        """The runs that start now."""
        state, names = self._workload.state, self._waiting
        limits = JobAndBackfillLimits(
            state.settings.code_location_limits,
            ((run.job.code_location, run.of) for _, _, run in self._ends),
            self._earned,
        )
        looked_at: dict[int, Waiting] = {}

        def pending(name: str, *, backfills: bool | None = None) -> Iterator[QueuedRun]:
            queue = self._workload.queued[name]
            while self._gone[name] < len(queue) and queue[self._gone[name]].run.storage_id in self._started:
                self._gone[name] += 1
            for waiting in queue[self._gone[name] :]:
                self.work += 1
                storage_id = waiting.run.storage_id
                is_of_kind = backfills in (None, waiting.of.backfill is not None)
                if storage_id not in self._started and is_of_kind and room.shows(name, waiting.run.slots):
                    looked_at[storage_id] = waiting
                    yield waiting.run
            if state.queued.get(name, 0) > len(queue):
                self.work = WORK  # there are more, which haven't been read

        def could_start(name: str, run: QueuedRun) -> bool:
            waiting = looked_at[run.storage_id]
            return not (self._holds and waiting.is_held) and limits.has_room(name, waiting.of)

        def starts(name: str, run: QueuedRun) -> bool:
            if could_start(name, run):
                limits.start(name, run, looked_at[run.storage_id].of)
                self._started.add(run.storage_id)
                return True
            return False

        def in_turn(name: str) -> Iterator[QueuedRun]:
            turns = limits.turns_of(name)
            if turns is None:
                return pending(name)
            return turns.in_turn(pending(name, backfills=True), pending(name, backfills=False))

        claims, credit = self._claims(), None
        moment = state.live.read_at.timestamp() + self.seconds
        if state.is_fair:
            half_life = state.settings.code_location_limits.sharing.half_life
            credit = replace(self._ledger.settle(moment, {}, half_life), horizon=HORIZON_SECONDS)
        slots = self._workload.slots
        free = None if slots == math.inf else max(0, int(slots) - self._held.total())
        room = Room(claims, free)
        hold_back = self._holding_back(moment)
        looked_at.update((waiting.run.storage_id, waiting) for waiting in hold_back)
        admission = admit(
            {name: in_turn(name) for name in names if names[name]},
            room,
            starts,
            hold_back=[(waiting.job.code_location, waiting.run) for waiting in hold_back],
            credit=credit,
            could_start=could_start,
            place=limits.place,
        )
        self.work += len(names) + _OF_A_TICK
        started: Counter[str] = Counter()
        for name, run in admission.runs:
            started[name] += run.slots
            self._passed.pop(run.storage_id, None)
        for run in admission.passed.values():
            self._passed.setdefault(run.storage_id, moment)
        self._ledger.record(claims, slots, started, frozenset(admission.blocked))
        self._waiting -= started
        self._earned |= {name: turns.settled(()) for name, turns in limits.backfill_turns.items()}
        return [looked_at[run.storage_id] for _, run in admission.runs]

    def _holding_back(self, moment: float) -> list[Waiting]:
        if not self._passed:
            return []
        runs = self._workload.by_id
        after = self._workload.state.settings.code_location_limits.hold_back_after
        return [runs[of] for of in holding_back(self._passed, moment, after) if of in runs]

    def _claims(self) -> Claims:
        at = self._workload.claims_at(self.seconds)
        of_each = {
            name: Claim(self._waiting[name], self._held[name], claim.limit, claim.weight, claim.min)
            for name in self._workload.queued
            for claim in (at.code_locations[name],)
        }
        return replace(at, code_locations=of_each)

    def _run(self, run: Running, start: float) -> None:
        """Let a run hold the slots that it got at a moment, until its end is drawn."""
        self._held[run.job.code_location] += run.slots
        heapq.heappush(self._ends, (start + self._length(run), next(self._number), run))

    def _length(self, run: Running) -> float:
        """The seconds for which a run holds its slot, drawn from those that took longer than it has so far.

        Each replay draws from a sample of the measured ones, so the fewer there are, the more replays differ. One
        more run is as likely below or above all of them as between any two.
        """
        lengths = self._workload.lengths
        job = run.job if len(lengths.get(run.job, ())) >= LEAST_MEASURED else Job(run.job.code_location)
        measured = lengths.get(job, ())
        if len(measured) < LEAST_MEASURED:
            raise NotMeasuredError(run.job)
        if job not in self.drawn_from:
            self.drawn_from[job] = sorted(self._random.choices(measured, k=len(measured)))
        sample, middle = self.drawn_from[job], measured[len(measured) // 2]
        drawn = self._random.randint(bisect_right(sample, run.lasted), len(sample))
        if drawn < len(sample):
            shorter = sample[drawn - 1] if drawn else 2 * sample[0] - middle
            return self._random.uniform(max(min(shorter, sample[drawn]), run.lasted, 0.0), sample[drawn])
        longest = max(measured[-1], run.lasted)
        spread = max(measured[-1] - middle, 2 * (longest - measured[-1]))
        return longest + spread * self._random.expovariate(2.0)
