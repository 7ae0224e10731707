"""`dagster-clt drain`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus
from dagster._daemon.types import DaemonHeartbeat
from tests.command_line.conftest import Home
from tests.run_queue import A, B, RunQueue

PROGRAM = Path(sys.executable).with_name("dagster-clt")
NO_DAEMON = "No daemon is running; one that starts obeys the pause from its first tick.\n"


@contextmanager
def draining(home: Home, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own."""
    process = subprocess.Popen(
        [PROGRAM, "drain", *arguments],
        env={**os.environ, "DAGSTER_HOME": str(home.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no thread
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def line_of(stream: object) -> str:
    """The next line that a process writes."""
    return next(iter(stream))  # type: ignore[call-overload,no-any-return]


def beat(queue: RunQueue) -> None:
    """Let the daemon give a sign of life, as its loop does."""
    queue.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), queue.daemon.daemon_type(), "id"))


def test_it_waits_until_nothing_is_in_progress_and_the_daemon_goes_by_the_pause(home: Home) -> None:
    """Each change of the count is printed to standard error."""
    queue = home.queue()
    queue.put(A, DagsterRunStatus.STARTING, 2)
    queue.put(B, DagsterRunStatus.STARTING, 1)
    beat(queue)
    with draining(home, A, "--interval", "0.1", "--reason", "deploy") as process:
        assert line_of(process.stdout) == f"{A}: limit 0 (paused) from the next tick on\n"
        assert line_of(process.stderr) == "2 in progress\n"
        queue.end(A, 2)
        assert line_of(process.stderr) in {
            "1 in progress\n",
            "nothing in progress, but the daemon hasn't started a tick with the pause yet\n",
        }
        queue.tick()
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert out == f"{A}: drained; `dagster-clt resume {A}` ends the pause\n"


def test_at_its_timeout_it_says_what_is_left_and_how_to_resume(home: Home) -> None:
    """It stays paused."""
    queue = home.queue()
    queue.put(A, DagsterRunStatus.STARTING, 2)
    answer = home.run("drain", A, "--timeout", "1s", "--interval", "0.1")
    assert answer.code == 1
    assert answer.err == (
        f"2 in progress\nError: {A} is not drained after 1s: 2 in progress. It stays paused;"
        " drain again to go on waiting, or"
        f" `dagster-clt resume {A}` ends the pause.\n"
    )
    queue.queue(A, 1)
    assert queue.tick() == {}


def test_without_a_daemon_nothing_more_can_start(home: Home) -> None:
    """It says so; a name is quoted as a shell takes it."""
    answer = home.run("drain", "code location b", "--force")
    assert (answer.code, answer.err) == (0, NO_DAEMON)
    assert answer.out.endswith("code location b: drained; `dagster-clt resume 'code location b'` ends the pause\n")


def test_all_are_drained(home: Home) -> None:
    """With an end, after which it goes on by itself."""
    answer = home.run("drain", "--all", "--until", "2999-01-01T00:00Z")
    assert (answer.code, answer.err) == (0, NO_DAEMON)
    assert f"{A}: limit 0 (paused) from the next tick until 2999-01-01 00:00 UTC" in answer.out
    assert answer.out.endswith("everything: drained; `dagster-clt resume --all` ends the pause\n")


def test_one_that_is_resumed_meanwhile_is_told(home: Home) -> None:
    """Nobody waits for what can't come."""
    queue = home.queue()
    queue.put(A, DagsterRunStatus.STARTING, 1)
    with draining(home, A, "--interval", "0.1") as process:
        assert line_of(process.stderr) == "1 in progress\n"
        home.run("resume", A)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err == (
        f"Error: {A} is no longer paused: somebody resumed it, or its pause ended; 1 in progress."
        " Drain again to go on waiting.\n"
    )


def test_ctrl_c_leaves_it_paused_and_says_so(home: Home) -> None:
    """With the exit code of SIGINT."""
    queue = home.queue()
    queue.put(A, DagsterRunStatus.STARTING, 1)
    with draining(home, A) as process:
        assert line_of(process.stderr) == "1 in progress\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == f"Interrupted: {A} stays paused; `dagster-clt resume {A}` ends the pause.\n"


def test_an_unknown_code_location_is_refused(home: Home) -> None:
    """And nothing is paused."""
    answer = home.run("drain", "code_location_A")
    assert answer.code == 1
    assert "did you mean 'code-location-a'?" in answer.err
    assert home.run("history").out == ""


def test_its_queued_runs_are_cancelled_on_demand(home: Home) -> None:
    """Those that came from it, whatever others say in their tags, and those of nobody else."""
    queue = home.queue()
    mine = queue.queue(A, 2)
    others = queue.queue(B, 2)
    queue.instance.add_run_tags(mine[0], {CLT_TAG_KEY: B})
    queue.instance.add_run_tags(others[0], {CLT_TAG_KEY: A})
    answer = home.run("drain", A, "--cancel-queued")
    assert answer.code == 0, answer.err
    assert f"{A}: 2 queued runs cancelled\n" in answer.out
    assert {queue.run(run_id).status for run_id in mine} == {DagsterRunStatus.CANCELED}
    assert {queue.run(run_id).status for run_id in others} == {DagsterRunStatus.QUEUED}


def test_not_everybodys_queued_runs_are_cancelled_at_once(home: Home) -> None:
    """The command wants a name, and changes nothing without."""
    answer = home.run("drain", "--all", "--cancel-queued")
    assert answer.code == 2
    assert "Name one LOCATION whose queued runs are to be cancelled." in answer.err
