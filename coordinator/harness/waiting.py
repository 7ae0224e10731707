"""Waiting for a condition rather than for a fixed time."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import dagster as dg
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay, wait_fixed

T = TypeVar("T")


def wait_until(what: str, condition: Callable[[], T], seconds: float = 180, every: float = 0.3) -> T:
    """Call a condition until it returns something true, and return that.

    Args:
        what: What is awaited, for the error message.
        condition: Called without arguments; an exception that it raises ends the wait.
        seconds: The longest wait.
        every: Seconds between two calls.

    Raises:
        TimeoutError: The condition was not met in time.
    """

    def give_up(state: RetryCallState) -> T:
        last = state.outcome.result() if state.outcome else None
        raise TimeoutError(f"{what}: not within {seconds:g} s; the last answer was {last!r}.")

    return Retrying(
        retry=retry_if_result(lambda answer: not answer),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(every),
        retry_error_callback=give_up,
    )(condition)


def count_ended(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> int:
    """The number of runs among these that have ended, whichever way."""
    return sum(run.is_finished for run in instance.get_runs(dg.RunsFilter(run_ids=list(run_ids))))
