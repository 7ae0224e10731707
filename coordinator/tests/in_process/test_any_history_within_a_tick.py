"""Whatever happens in the middle of a tick, no limit is exceeded, and no slot stays free for long."""

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.in_process.test_any_history import LIMITS, NAMES, TOTAL, History
from tests.run_queue import A, B, ephemeral_run_queue, in_the_middle_of_a_tick

Event = tuple[str, str, int]

DEFAULT = 3
"""As in `LIMITS`, for code locations that nobody has named or seen."""
names = st.sampled_from([*NAMES, "code-location-new", "code-location-newer"])
event = (
    st.tuples(st.just("queue"), names, st.integers(1, 5))
    | st.tuples(st.just("end"), names, st.integers(1, 3))
    | st.tuples(st.just("limit"), names, st.integers(0, 6))
    | st.tuples(st.just("clear"), names, st.just(0))
    | st.tuples(st.just("pause"), names, st.just(0))
    | st.tuples(st.just("resume"), names, st.just(0))
)
PAUSED_AND_ENDS: tuple[list[Event], list[Event]] = ([("pause", B, 0)], [("end", B, 1)])
"""Led above a limit with `fair`, before the coordinator decided which runs the daemon sees."""
NEW_BESIDE_A_LARGER_LIMIT: tuple[list[Event], list[Event]] = (
    [
        *(("pause", A, 0), ("end", A, 9), ("pause", B, 0), ("end", B, 9), ("end", "code-location-c", 9)),
        *(("limit", "code-location-c", 1), ("limit", "code-location-newer", 6)),
    ],
    [("queue", "code-location-new", 5)],
)
"""The same with `fifo`."""
some_events = st.lists(event, max_size=3)


class TickHistory(History):
    """A history whose ticks are disturbed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        new = dict.fromkeys(["code-location-new", "code-location-newer"], DEFAULT)
        self.limits |= new
        self.configured |= new

    def disturbed_tick(self, events: list[Event]) -> None:
        """One tick in which things happen; what it starts is within the limits of before or those of after."""
        before = {name: self.limit(name) for name in self.limits}

        def disturb() -> None:
            for one in events:
                self.happen(*one)

        with in_the_middle_of_a_tick(self.queue, disturb):
            started = self.queue.tick()
        for name in started:
            assert self.queue.in_progress(name) <= max(before[name], self.limit(name))
        if started:
            assert sum(map(self.queue.in_progress, self.limits)) <= TOTAL

    def check_that_no_slot_idles(self) -> None:
        """Whoever has runs queued is at his limit, unless the total is reached."""
        in_progress = {name: self.queue.in_progress(name) for name in self.limits}
        if sum(in_progress.values()) < TOTAL:
            for name, runs in in_progress.items():
                assert self.queue.queued(name) == 0 or runs >= self.limit(name)


@pytest.mark.parametrize("sharing", ["fifo", "fair"])
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(some_events, some_events), min_size=1, max_size=4))
@example([PAUSED_AND_ENDS])
@example([NEW_BESIDE_A_LARGER_LIMIT])
def test_nothing_that_happens_during_a_tick_leads_above_a_limit(
    sharing: str, ticks: list[tuple[list[Event], list[Event]]]
) -> None:
    """Runs are queued and end, limits change, code locations appear and are paused, before and in each tick."""
    options = {"max_concurrent_runs": TOTAL, "code_location_limits": {**LIMITS, "sharing": sharing}}
    with ephemeral_run_queue(options, {}) as queue:
        history = TickHistory(queue)
        for name in NAMES:
            queue.copy(queue.queue(name, 1)[0], 5)
        history.tick()
        for events_before, events_within in ticks:
            for one in events_before:
                history.happen(*one)
            history.disturbed_tick(events_within)
        for _ in range(2):
            history.tick()
        history.check_that_no_slot_idles()
