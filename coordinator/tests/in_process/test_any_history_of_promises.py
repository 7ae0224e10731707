"""Whatever happens between ticks: limits of groups hold, minimums are served first, and nothing idles."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.in_process.test_any_history import NAMES, TOTAL, History, events
from tests.run_queue import A, B, ephemeral_run_queue

LIMITS: dict[str, Any] = {
    "default": 3,
    "locations": {A: {"limit": 2, "min": 1}, B: {"limit": 5, "weight": 2, "min": 2}},
    "groups": {"team": {"locations": [A, B], "limit": 4, "min": 3}},
}
MINIMUMS = {A: 1, B: 2}
GROUP_LIMIT, GROUP_MINIMUM = 4, 3


class HistoryOfPromises(History):
    """A history with a group of a and b."""

    def tick(self) -> None:
        """One tick, which keeps every promise."""
        started = self.queue.tick()
        in_progress = {name: self.queue.in_progress(name) for name in NAMES}
        of_group = in_progress[A] + in_progress[B]
        for name in started:
            assert in_progress[name] <= self.limit(name)
        if started:
            assert sum(in_progress.values()) <= TOTAL
        if started.keys() & {A, B}:
            assert of_group <= GROUP_LIMIT
        could = {
            name: self.queue.queued(name) > 0
            and in_progress[name] < self.limit(name)
            and (name not in MINIMUMS or of_group < GROUP_LIMIT)
            for name in NAMES
        }
        if sum(in_progress.values()) < TOTAL:
            assert not any(could.values())
        if set(started) - {A, B}:
            assert not any(could[name] and in_progress[name] < least for name, least in MINIMUMS.items())
            assert not ((could[A] or could[B]) and of_group < GROUP_MINIMUM)


@pytest.mark.parametrize("sharing", ["fifo", "fair"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(events)
def test_every_history_keeps_its_promises(sharing: str, history_of_events: list[tuple[str, str, int]]) -> None:
    """Runs are queued and end, limits change to below a minimum, code locations are paused."""
    limits = {**LIMITS, "sharing": sharing}
    with ephemeral_run_queue({"max_concurrent_runs": TOTAL, "code_location_limits": limits}, {}) as queue:
        history = HistoryOfPromises(queue)
        for event in history_of_events:
            history.happen(*event)
        history.tick()
