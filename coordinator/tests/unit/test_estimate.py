"""When a queued run will start: examples in which a job takes a minute, and where nothing can be said."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import chain
from typing import Any

from clt_queued_run_coordinator.config.parsing import parse
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.policy.changes import Change, LiveChanges
from clt_queued_run_coordinator.policy.estimate import (
    LEAST_MEASURED,
    Job,
    Running,
    Waiting,
    Workload,
    competing,
    estimate,
)
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import JobAndBackfill, QueuedRun
from dagster import DagsterRun, RunRecord
from tests.run_queue import A, B, job_origin

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
INTERVAL = 5
MINUTE = [60.0] * LEAST_MEASURED
"""Runs of a job that always took a minute."""


def queued(number: int, name: str = A, job: str = "job", *, is_held: bool = False) -> Waiting:
    """The queued run with this number."""
    return Waiting(QueuedRun(0, number), Job(name, job), JobAndBackfill(job), is_held)


def workload(
    queue: Mapping[str, Sequence[Waiting]],
    running: Sequence[Running],
    total: int = -1,
    lengths: Mapping[Job, Sequence[float]] | None = None,
    live: LiveChanges | None = None,
    **limits: Any,
) -> Workload:
    """A workload in which runs take a minute; the limits are as they are written in the configuration."""
    records = [
        RunRecord(
            storage_id=number,
            dagster_run=DagsterRun(
                job_name=run.job.name, run_id=str(number), remote_job_origin=job_origin(run.job.code_location)
            ),
            create_timestamp=NOW,
            update_timestamp=NOW,
        )
        for number, run in enumerate(running, 1000)
    ]
    state = QueueState(
        Settings(total, parse(limits)),
        live or LiveChanges(read_at=NOW),
        {name: len(runs) for name, runs in queue.items()},
        records,
    )
    if lengths is None:
        jobs = [run.job for run in running] + [run.job for run in chain.from_iterable(queue.values())]
        lengths = dict.fromkeys(jobs, MINUTE)
    names = competing(state, A)
    together: dict[Job, list[float]] = {}
    for job, seconds in lengths.items():
        together.setdefault(Job(job.code_location), []).extend(seconds)
    return Workload(
        state,
        {name: queue.get(name, ()) for name in names},
        [run for run in running if run.job.code_location in names],
        {**lengths, **{job: sorted(seconds) for job, seconds in together.items()}},
        INTERVAL,
    )


def run_of(name: str, lasted: float = 0.0, job: str = "job") -> Running:
    """A run in progress."""
    return Running(Job(name, job), JobAndBackfill(job), lasted)


def range_of(work: Workload, run: int) -> tuple[int, int]:
    """The range in which a run starts."""
    said = estimate(work, [run])[run]
    assert said.earliest_seconds is not None
    assert said.latest_seconds is not None
    return said.earliest_seconds, said.latest_seconds


def starts_in(work: Workload, run: int, seconds: float) -> None:
    """Assert that the range holds a moment, and is no wider than the ticks after each end make it."""
    earliest, latest = range_of(work, run)
    assert earliest <= seconds <= latest
    assert latest - earliest <= 5 * INTERVAL


def why_not(work: Workload, run: int) -> str:
    """Why nothing can be said of a run."""
    said = estimate(work, [run])[run]
    assert said.earliest_seconds is None
    assert said.why_not
    return said.why_not


def test_a_run_starts_at_the_tick_after_the_one_before_it_ends() -> None:
    """What a run in progress has left is what it took less than those that were measured."""
    at_its_limit = workload({A: [queued(1), queued(2)]}, [run_of(A, lasted=20)], default=1)
    starts_in(at_its_limit, 1, 40 + INTERVAL / 2)
    starts_in(at_its_limit, 2, 100 + INTERVAL)


def test_it_rests_on_the_measured_runs_of_the_jobs_that_matter() -> None:
    """And says on how many."""
    both = {Job(A, "job"): [60.0] * 7, Job(A, "other"): [60.0] * 9}
    waiting = {A: [queued(1), queued(2, job="other"), queued(3)]}
    at_its_limit = workload(waiting, [run_of(A)], lengths=both, default=1)
    assert estimate(at_its_limit, [1])[1].measured_runs == 7
    last = estimate(at_its_limit, [3])[3]
    assert last.measured_runs == 16
    assert "by 16 measured runs" in last.in_words


def test_the_total_is_shared_with_others() -> None:
    """By age, where sharing is fifo: the other's run goes first."""
    waiting = {A: [queued(2)], B: [queued(1, B)]}
    starts_in(workload(waiting, [run_of(B)], total=1), 2, 120 + INTERVAL)
    starts_in(workload(waiting, [run_of(B)], total=1, sharing="fair"), 2, 60 + INTERVAL / 2)


def test_others_dont_matter_while_slots_cant_run_out() -> None:
    """Not even if nobody knows how long their runs take."""
    lengths = {Job(A, "job"): MINUTE}
    waiting = {A: [queued(2)], B: [queued(1, B)]}
    running = [run_of(A), run_of(B)]
    starts_in(workload(waiting, running, total=9, lengths=lengths, default=1), 2, 60 + INTERVAL / 2)
    said = why_not(workload(waiting, running, total=2, lengths=lengths), 2)
    assert said.startswith(f"it depends on how long runs of job job of {B} take, and fewer than {LEAST_MEASURED} ")


def test_a_job_with_few_measured_runs_takes_what_others_of_its_code_location_take() -> None:
    """If these are enough."""
    lengths = {Job(A, "new"): [60.0], Job(A, "old"): [60.0] * (LEAST_MEASURED - 1)}
    waiting = {A: [queued(1, job="new")]}
    starts_in(workload(waiting, [run_of(A, job="new")], lengths=lengths, default=1), 1, 60 + INTERVAL / 2)


def test_a_pause_and_a_limit_that_end() -> None:
    """The run starts at the tick after that; without an end nothing lets it start."""
    until = NOW + timedelta(minutes=3)
    pause, none = Change(1, "somebody", NOW, until), Change(0, "somebody", NOW, until)
    for live in (LiveChanges(pauses_until={A: pause}), LiveChanges(limits_until={A: none})):
        starts_in(workload({A: [queued(1)]}, [], live=replace(live, read_at=NOW)), 1, 180 + INTERVAL / 2)
    stays = LiveChanges(pauses={A: replace(pause, until=None)}, read_at=NOW)
    assert estimate(workload({A: [queued(1)]}, [], live=stays), [1]) == {}


def test_a_window_that_ends() -> None:
    """With the limit that follows it."""
    nightly = {"cron": "0 11 * * *", "for": "1h10m", "limit": 0}
    limits: dict[str, Any] = {"locations": {A: {"windows": [nightly]}}}
    earliest, latest = range_of(workload({A: [queued(1)]}, [], **limits), 1)
    assert 600 <= earliest < latest <= 600 + 2 * INTERVAL


def test_limits_on_jobs_hold_only_their_runs() -> None:
    """The other one goes first."""
    waiting = {A: [queued(1, job="slow"), queued(2)]}
    limits: dict[str, Any] = {"locations": {A: {"limit": 2, "max_per_job": {"jobs": {"slow": 1}}}}}
    one_slot = workload(waiting, [run_of(A, job="slow")], **limits)
    starts_in(one_slot, 2, INTERVAL / 2)
    starts_in(one_slot, 1, 60 + INTERVAL / 2)


def test_the_range_holds_both_what_a_full_pool_does_and_what_it_doesnt() -> None:
    """The run before may be held for long, or go first: nobody knows."""
    earliest, latest = range_of(workload({A: [queued(1, is_held=True), queued(2)]}, [run_of(A)], default=1), 2)
    assert earliest <= 60 + INTERVAL
    assert latest >= 120


def test_a_run_that_has_taken_longer_than_any_that_was_measured() -> None:
    """Goes on for about as long again, and may go on for much longer."""
    earliest, latest = range_of(workload({A: [queued(1)]}, [run_of(A, lasted=600)], default=1), 1)
    assert earliest < 300
    assert latest > 1000


def test_few_measured_runs_make_the_range_wide() -> None:
    """Also if they took as different times as many do."""

    def width(times: int) -> int:
        lengths = {Job(A, "job"): sorted([10.0, 40.0, 60.0, 80.0, 110.0] * times)}
        waiting = {A: [queued(number) for number in range(1, 30)]}
        earliest, latest = range_of(workload(waiting, [run_of(A)], lengths=lengths, default=1), 25)
        return latest - earliest

    assert width(1) > 1.3 * width(20)


def test_many_short_runs_ahead() -> None:
    """The further ahead they end, the more ends are taken together, but each slot is used again at once."""
    waiting = {A: [queued(number) for number in range(1, 400)]}
    short = workload(waiting, [run_of(A)] * 4, lengths={Job(A, "job"): [2.0] * LEAST_MEASURED}, default=4)
    earliest, latest = range_of(short, 399)
    assert earliest <= 100 * (2 + INTERVAL / 2) <= latest


def test_a_long_queue_ends_the_replays() -> None:
    """Then it says when the run doesn't start yet, and not more."""
    names = (A, *(f"code-location-{number}" for number in range(29)))
    endless = {
        name: [queued(number, name) for number in range(place, 9_000, 30)] for place, name in enumerate(names)
    }
    busy = workload(endless, [run_of(name) for name in names], total=len(names), sharing="fair")
    said = estimate(busy, [8_970])[8_970]
    assert said.earliest_seconds
    assert said.latest_seconds is None
    assert said.in_words.startswith("Starts in more than ")


def test_more_is_queued_than_was_read() -> None:
    """Then nobody knows what comes after that."""
    work = workload({A: [queued(2)], B: [queued(1, B)]}, [run_of(B)], total=1)
    more = replace(work, state=replace(work.state, queued={A: 1, B: 2}))
    assert estimate(more, [2])[2].latest_seconds is None


def test_many_runs_have_one_set_of_replays() -> None:
    """One of which nothing is known doesn't take the others' away, nor does one that nothing lets start."""
    lengths = {Job(A, "job"): MINUTE}
    waiting = {A: [queued(1), queued(2), queued(3, job="never"), queued(4)]}
    limits: dict[str, Any] = {"locations": {A: {"limit": 1, "max_per_job": {"jobs": {"never": 0}}}}}
    together = estimate(workload(waiting, [run_of(A)], lengths=lengths, **limits), [1, 2, 3, 4])
    assert {*together} == {1, 2, 4}
    alone = estimate(workload(waiting, [run_of(A)], lengths=lengths, **limits), [1])
    assert together[1].earliest_seconds == alone[1].earliest_seconds
    unknown = {A: [queued(1), queued(2, B), queued(3)]}
    said = estimate(workload(unknown, [run_of(A)], lengths=lengths, default=1), [1, 2, 3])
    assert [said[run].earliest_seconds is None for run in (1, 2, 3)] == [False, False, True]
