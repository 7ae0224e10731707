"""Limits on jobs and backfills: examples, and what holds for every line of the queue."""

from clt_queued_run_coordinator.config.options import CodeLocationEntry, CodeLocationLimits, PerJob
from clt_queued_run_coordinator.policy.job_and_backfill_limits import JobAndBackfillLimits, lane_key
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION, JobAndBackfill

LIMITS = CodeLocationLimits(
    default=CodeLocationEntry(max_per_job=PerJob(2, {"hourly": 1, "free": 5})),
    entries={"b": CodeLocationEntry(max_per_backfill=1)},
)


def test_each_job_has_its_limit_or_the_default() -> None:
    """Counted by itself in each code location."""
    limits = JobAndBackfillLimits(
        LIMITS, [("a", JobAndBackfill("hourly")), ("a", JobAndBackfill("x")), ("c", JobAndBackfill("x"))]
    )
    assert not limits.has_room("a", JobAndBackfill("hourly"))
    assert limits.has_room("a", JobAndBackfill("x"))
    limits.count("a", JobAndBackfill("x"))
    assert not limits.has_room("a", JobAndBackfill("x"))
    assert limits.has_room("c", JobAndBackfill("x"))


def test_each_backfill_has_the_limit() -> None:
    """Runs of none are free."""
    limits = JobAndBackfillLimits(LIMITS, [("b", JobAndBackfill("x", "one"))])
    assert not limits.has_room("b", JobAndBackfill("y", "one"))
    assert limits.has_room("b", JobAndBackfill("x", "two"))
    assert limits.has_room("b", JobAndBackfill("x"))


def test_a_copy_counts_by_itself() -> None:
    """What it takes the other hasn't."""
    limits = JobAndBackfillLimits(LIMITS)
    limits.copy().count("a", JobAndBackfill("hourly"))
    assert limits.has_room("a", JobAndBackfill("hourly"))


def test_runs_of_no_code_location_are_free() -> None:
    """As with every limit."""
    limits = CodeLocationLimits(default=CodeLocationEntry(max_per_job=PerJob(0)))
    assert JobAndBackfillLimits(limits).has_room(NO_CODE_LOCATION, JobAndBackfill("x"))
    assert not JobAndBackfillLimits(limits).has_room("a", JobAndBackfill("x"))


def test_only_what_is_limited_is_kept_apart() -> None:
    """So that thousands of jobs or backfills without a limit make one line."""
    limits = CodeLocationLimits(
        entries={
            "a": CodeLocationEntry(max_per_job=PerJob(None, {"x": 1})),
            "b": CodeLocationEntry(max_per_backfill=1),
        }
    )
    what_counts = lane_key(limits)
    assert what_counts
    assert what_counts("a", JobAndBackfill("x", "one")) == JobAndBackfill("x", None)
    assert what_counts("a", JobAndBackfill("y", "one")) == JobAndBackfill()
    assert what_counts("b", JobAndBackfill("x", "one")) == JobAndBackfill(None, "one")
    assert what_counts("c", JobAndBackfill("x", "one")) == JobAndBackfill()
    assert lane_key(CodeLocationLimits(default=CodeLocationEntry(3))) is None
