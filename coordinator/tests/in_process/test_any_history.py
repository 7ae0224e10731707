"""Whatever happens between ticks, no tick starts a run above a limit, and no slot stays free for long."""

from typing import Any

import pytest
from clt_queued_run_coordinator.config.tag import SLOTS_TAG
from clt_queued_run_coordinator.store import live
from dagster import DagsterRunStatus, RunsFilter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.run_queue import A, B, RunQueue, ephemeral_run_queue

NAMES = [A, B, "code-location-c"]
TOTAL = 6
LIMITS: dict[str, Any] = {"default": 3, "locations": {A: 2, B: {"limit": 5, "weight": 2}}}

names = st.sampled_from(NAMES)
events = st.lists(
    st.tuples(st.just("queue"), names, st.integers(1, 5))
    | st.tuples(st.just("end"), names, st.integers(1, 3))
    | st.tuples(st.just("limit"), names, st.integers(0, 6))
    | st.tuples(st.just("clear"), names, st.just(0))
    | st.tuples(st.just("pause"), names, st.just(0))
    | st.tuples(st.just("resume"), names, st.just(0))
    | st.tuples(st.just("tick"), names, st.just(0)),
    max_size=25,
)


class History:
    """What the limits should be by now, kept beside the queue."""

    def __init__(self, queue: RunQueue) -> None:
        self.queue = queue
        self.limits = {A: 2, B: 5, "code-location-c": 3}
        self.configured = dict(self.limits)
        self.paused: set[str] = set()

    def limit(self, name: str) -> int:
        """The limit that should be in force."""
        return 0 if name in self.paused else self.limits[name]

    def happen(self, kind: str, name: str, number: int) -> None:
        """Let one thing happen."""
        instance = self.queue.instance
        if kind == "queue":
            self.queue.queue(name, number)
        elif kind == "end":
            self.queue.end(name, min(number, self.queue.in_progress(name)))
        elif kind == "limit":
            live.set_limit(instance, name, number)
            self.limits[name] = number
        elif kind == "clear":
            live.clear_limit(instance, name)
            self.limits[name] = self.configured[name]
        elif kind == "pause":
            live.pause(instance, name)
            self.paused.add(name)
        elif kind == "resume":
            live.resume(instance, name)
            self.paused.discard(name)
        else:
            self.tick()

    def tick(self) -> None:
        """One tick; nothing that it starts is above a limit."""
        started = self.queue.tick()
        for name in started:
            assert self.held(name) <= self.limit(name)
        if started:
            assert sum(map(self.held, NAMES)) <= TOTAL

    def held(self, name: str) -> int:
        """The slots that a code location's runs in progress hold."""
        return self.queue.in_progress(name)


class SizedHistory(History):
    """The same with runs that take several slots."""

    def __init__(self, queue: RunQueue) -> None:
        super().__init__(queue)
        self.sizes: dict[str, tuple[str, int]] = {}

    def happen(self, kind: str, name: str, number: int) -> None:
        """Queue one run of a size in place of a number of runs."""
        if kind != "queue":
            super().happen(kind, name, number)
            return
        size = min(number, self.configured[name])
        self.sizes[self.queue.queue(name, tags={SLOTS_TAG: str(size)})[0]] = name, size

    def of_status(self, name: str, *statuses: DagsterRunStatus) -> list[int]:
        """The sizes of a code location's runs in some statuses."""
        runs = self.queue.instance.get_runs(RunsFilter(statuses=list(statuses)))
        return [self.sizes[run.run_id][1] for run in runs if self.sizes[run.run_id][0] == name]

    def held(self, name: str) -> int:
        """The slots that a code location's runs in progress hold."""
        return sum(self.of_status(name, DagsterRunStatus.STARTING))


@pytest.mark.parametrize("sharing", ["fifo", "fair"])
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(events)
def test_no_history_leads_above_a_limit(sharing: str, history_of_events: list[tuple[str, str, int]]) -> None:
    """Runs are queued and end, limits change, code locations are paused; at the end nothing idles."""
    options = {"max_concurrent_runs": TOTAL, "code_location_limits": {**LIMITS, "sharing": sharing}}
    with ephemeral_run_queue(options, {}) as queue:
        history = History(queue)
        for event in history_of_events:
            history.happen(*event)
        history.tick()
        state_of = {name: (queue.queued(name), queue.in_progress(name), history.limit(name)) for name in NAMES}
        if sum(in_progress for _, in_progress, _ in state_of.values()) < TOTAL:
            assert all(queued == 0 or in_progress >= limit for queued, in_progress, limit in state_of.values())


@pytest.mark.parametrize("sharing", ["fifo", "fair"])
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(events)
def test_no_history_of_runs_of_any_size_leads_above_a_limit(
    sharing: str, history_of_events: list[tuple[str, str, int]]
) -> None:
    """In slots; at the end nothing that fits is queued."""
    limits = {**LIMITS, "sharing": sharing, "slot": {"cpu": 1}}
    with ephemeral_run_queue({"max_concurrent_runs": TOTAL, "code_location_limits": limits}, {}) as queue:
        history = SizedHistory(queue)
        for event in history_of_events:
            history.happen(*event)
        history.tick()
        free = TOTAL - sum(map(history.held, NAMES))
        for name in NAMES:
            room = min(free, history.limit(name) - history.held(name))
            assert all(size > room for size in history.of_status(name, DagsterRunStatus.QUEUED))
