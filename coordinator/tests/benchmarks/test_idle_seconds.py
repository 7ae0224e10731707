"""The idle time of slots that a benchmark reads from the event log."""

from benchmarks.idle_slot import idle_seconds
from harness.concurrency import InProgress


def _run(start: float, end: float | None) -> InProgress:
    return InProgress(f"run-{start}", "code-location-a", start, end)


def test_each_start_beyond_the_limit_takes_the_slot_that_was_freed_first() -> None:
    """Two slots, freed at 5 and 8, taken at 6 and 10."""
    assert idle_seconds([_run(0, 8), _run(1, 5), _run(6, 12), _run(10, 14)], limit=2) == [1, 2]


def test_without_runs_beyond_the_limit_no_slot_was_idle() -> None:
    """Nothing has waited."""
    assert idle_seconds([_run(0, 8), _run(1, None)], limit=2) == []
