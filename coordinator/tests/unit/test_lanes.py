"""The lanes of the queue, merged in Dagster's order."""

from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.policy.queued_run import JobAndBackfill, QueuedRun
from hypothesis import given
from hypothesis import strategies as st

jobs = st.sampled_from([None, "x", "y", "z"]).map(JobAndBackfill)
changes = st.lists(st.tuples(st.integers(1, 30), st.integers(-1, 1), jobs), max_size=60)


@given(
    changes=changes,
    left=st.lists(st.integers(1, 30), max_size=20),
    room=st.dictionaries(jobs, st.integers(0, 4)),
    after=st.none() | st.builds(QueuedRun, st.integers(-1, 1), st.integers(0, 31)),
)
def test_lanes_are_merged_in_order_without_those_that_are_full(
    changes: list[tuple[int, int, JobAndBackfill]],
    left: list[int],
    room: dict[JobAndBackfill, int],
    after: QueuedRun | None,
) -> None:
    """Also those that become full on the way; compared with sorting all runs anew."""
    queued = QueuedRuns()
    runs: dict[int, tuple[int, JobAndBackfill]] = {}
    for run_id, priority, of_run in changes:
        queued._remove(run_id)
        queued._add(run_id, "a", priority, of_run)
        runs[run_id] = (priority, of_run)
    for run_id in left:
        queued._remove(run_id)
        runs.pop(run_id, None)
    assert queued.counts() == ({"a": len(runs)} if runs else {})
    expected, taken = [], dict.fromkeys(room, 0)
    for run in sorted(
        (QueuedRun(priority, run_id) for run_id, (priority, _) in runs.items()), key=lambda r: r.place
    ):
        of_run = runs[run.storage_id][1]
        if (after is None or run.place > after.place) and (of_run not in room or taken[of_run] < room[of_run]):
            expected.append(run)
            if of_run in room:
                taken[of_run] += 1
    started = dict.fromkeys(room, 0)
    order = []
    for run in queued.in_order("a", after, lambda of_run: of_run not in room or started[of_run] < room[of_run]):
        of_run = queued.lane_of[run.storage_id].of
        assert of_run == runs[run.storage_id][1]
        started[of_run] = started.get(of_run, 0) + 1
        order.append(run)
    assert order == expected
    every = [QueuedRun(priority, run_id) for run_id, (priority, _) in runs.items()]
    assert list(queued.in_order("a")) == sorted(every, key=lambda run: run.place)
