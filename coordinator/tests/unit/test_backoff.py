"""Code locations whose offered runs did not start."""

from itertools import pairwise

from clt_queued_run_coordinator.policy.backoff import MAX_TICKS, Backoff, after_tick


def test_nothing_offered_started() -> None:
    """Both runs are still queued, so the code location goes behind the others for a tick."""
    assert after_tick({}, {"a": [1, 2]}, {1, 2, 3}) == {"a": Backoff(ticks=1, left=1)}


def test_one_start_is_enough() -> None:
    """Its code server answers."""
    assert after_tick({"a": Backoff(4, 2)}, {"a": [1, 2]}, {2, 3}) == {}


def test_a_tick_that_leaves_it_nothing_counts() -> None:
    """Where the others use up every slot its turn comes all the same, and waits for it where there is none."""
    assert after_tick({"a": Backoff(4, 2)}, {}, {1}) == {"a": Backoff(4, 1)}
    assert after_tick({"a": Backoff(4, 0)}, {}, {1}) == {"a": Backoff(4, 0)}


def test_each_time_that_nothing_starts_it_waits_twice_as_long() -> None:
    """Up to a bound: a code server that is back is noticed."""
    backoff: dict[str, Backoff] = {}
    tried = []
    for tick in range(80):
        if "a" not in backoff or backoff["a"].left == 0:
            tried.append(tick)
        backoff = after_tick(backoff, {"a": [1]}, {1})
    waits = [later - earlier for earlier, later in pairwise(tried)]
    assert waits == [2, 3, 5, 9, MAX_TICKS + 1, MAX_TICKS + 1, MAX_TICKS + 1]
