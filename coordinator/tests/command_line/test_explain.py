"""`dagster-clt explain`."""

import json
import time

import pytest
from clt_queued_run_coordinator._dagster import QUEUE_DAEMON
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunsTable
from dagster._daemon.types import DaemonHeartbeat
from tests.command_line.conftest import Home
from tests.run_queue import A, B, RunQueue


def alive(queue: RunQueue) -> RunQueue:
    """The queue, with a daemon that has just been heard of."""
    queue.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), QUEUE_DAEMON, "test", []))
    return queue


def test_the_text_is_whole(home: Home) -> None:
    """Place, what holds it, who uses it up and what would let it go."""
    queue = alive(home.queue())
    running = queue.queue(A, 3)
    queue.tick()
    queue.tick()  # without it, a slow machine takes the launches of the first one for still under way
    *_, run_id = queue.queue(A, 3)
    answer = home.run("explain", run_id)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].startswith(f"Run {run_id} of {A}, job job: created ")
    assert lines[1].startswith(f"3rd of 3 queued runs of {A}; share 3.0, credit ")
    assert lines[2:4] == [
        "",
        f"Held: the limit of {A} is used up: 3 of 3 in progress (limit from configuration)",
    ]
    assert [line.split()[:3] for line in lines[4:7]] == [[holder, A, "job"] for holder in reversed(running)]
    assert lines[7:10] == [
        f"  ->  wait for a run to end, or: dagster-clt set-limit {A} 6, with the 2 before it",
        "",
        f"Held: when there is room for a run of {A}, 2 runs go first",
    ]
    assert lines[-2] == ""
    assert lines[-1].startswith("When it starts can't be told: it depends on how long runs of job ")


def test_a_run_that_nothing_holds(home: Home) -> None:
    """The next tick is told, not a time."""
    (run_id,) = alive(home.queue()).queue(B)
    out = home.run("explain", run_id).out
    assert out.splitlines()[2:] == ["", "Nothing holds it: it starts at the next tick (within 5 s)"]


def test_json_has_the_documented_fields(home: Home) -> None:
    """For scripts."""
    queue = alive(home.queue())
    home.run("pause", A, "--force")
    (run_id,) = queue.queue(A, priority=2)
    data = json.loads(home.run("explain", run_id, "--output", "json").out)
    (pause,) = data.pop("held_by")
    assert data.pop("queued_seconds") >= 0
    assert data == {
        "run_id": run_id,
        "status": "QUEUED",
        "code_location": A,
        "job": "job",
        "priority": 2,
        "place": 1,
        "of": 1,
        "share": 0,
        "credit_slot_seconds": 0.0,
        "starts_within_seconds": None,
        "estimate": {
            "earliest_seconds": None,
            "latest_seconds": None,
            "measured_runs": 0,
            "why_not": f"nobody knows when this ends: {pause['what']}",
        },
        "notes": [],
    }
    assert pause["what"].startswith(f"{A} is paused by ")
    assert pause == {
        "kind": "pause",
        "what": pause["what"],
        "cure": f"dagster-clt resume {A}",
        "holders": [],
        "held_by": 0,
    }


def test_the_beginning_of_an_id_is_enough_where_no_other_begins_so(home: Home) -> None:
    """Several are refused; so is one that is unknown."""
    queue = alive(home.queue())
    (run_id,) = queue.queue(B)
    assert home.run("explain", run_id[:8]).out.startswith(f"Run {run_id} of {B}")
    first, second = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
    for other in (first, second):
        queue.create(B, run_id=other)
    answer = home.run("explain", first[:-1])
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        f"Error: The ids of several runs begin with '{first[:-1]}', such as {first} and {second};"
        " give more characters.\n"
    )
    assert home.run("explain", run_id).code == 0
    for unknown in ("nobody", "%", "", "é" * 300):
        answer = home.run("explain", unknown)
        assert (answer.code, answer.out) == (1, "")
        assert answer.err == (
            f"Error: No run's id is {unknown!r} or begins with it; copy it from the UI's Runs page.\n"
        )


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_run_that_is_not_queued(home: Home, output: str) -> None:
    """One line of what it is, and exit code 1."""
    (run_id,) = home.queue().put(A, DagsterRunStatus.STARTED)
    answer = home.run("explain", run_id, "--output", output)
    what = json.loads(answer.out)["what"] if output == "json" else answer.out.strip()
    assert (answer.code, answer.err) == (1, "")
    assert what.startswith(f"Run {run_id} is not queued: it is in progress (STARTED)")


def test_a_body_that_nobody_can_read(home: Home) -> None:
    """It is said, with what to do."""
    queue = alive(home.queue())
    (run_id,) = queue.queue(A)
    with queue.storage.connect() as connection:
        connection.execute(RunsTable.update().values(run_body="{}"))
    answer = home.run("explain", run_id)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        f"Error: Dagster can't read what is stored of run {run_id}, so it can't start; delete it with"
        f" `dagster run delete {run_id}`, and launch it again.\n"
    )
