"""Judging what became of runs."""

from dataclasses import replace

import pytest
from harness.run_history import RunHistory, problems

GOOD = RunHistory("1", "a", "a", "SUCCESS")


def test_a_run_that_succeeded() -> None:
    """There is nothing to say of it."""
    assert problems([GOOD], ["1"]) == []


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (replace(GOOD, status="QUEUED"), "run 1 is still QUEUED"),
        (replace(GOOD, status="STARTED", acknowledged=False), "run 1 is still STARTED"),
        (replace(GOOD, tag=None), "run 1 of a was queued with the tag None"),
        (replace(GOOD, tag="b"), "run 1 of a was queued with the tag b"),
        (replace(GOOD, worker_starts=2), "run 1 was started by 2 workers"),
        (replace(GOOD, was_queued=False), "run 1 was acknowledged and never queued"),
        (replace(GOOD, status="FAILURE"), "run 1 ended FAILURE and no retry of it succeeded"),
        (replace(GOOD, status="CANCELED"), "run 1 ended CANCELED and no retry of it succeeded"),
    ],
)
def test_a_run_that_went_wrong(run: RunHistory, problem: str) -> None:
    """One line names the run and what is wrong with it."""
    assert problems([run], []) == [problem]


def test_an_acknowledged_run_that_is_gone() -> None:
    """A launch that was answered with success must have left a run."""
    assert problems([GOOD], ["1", "2"]) == ["run 2 was acknowledged and is gone"]


def test_a_run_whose_retry_succeeded() -> None:
    """A failed run is well if a retry of it, or a retry of that, succeeded."""
    first = replace(GOOD, status="FAILURE")
    second = replace(first, run_id="2", parent="1", acknowledged=False)
    third = replace(GOOD, run_id="3", parent="2", acknowledged=False)
    assert problems([first, second, third], ["1"]) == []
    assert problems([first, second], ["1"]) == ["run 1 ended FAILURE and no retry of it succeeded"]


def test_what_dagster_cannot_keep() -> None:
    """A launch that was not answered may fail unqueued; a retry that could not be launched is given up."""
    unanswered = replace(GOOD, status="FAILURE", acknowledged=False, was_queued=False, tag=None)
    assert problems([unanswered, replace(GOOD, run_id="2", status="FAILURE", retry_given_up=True)], ["2"]) == []
