"""`dagster-clt status`."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from clt_queued_run_coordinator.submit.max_queued import QueueFullError
from dagster import DagsterRunStatus
from dagster._core.storage.runs.schema import RunsTable
from tests.command_line.conftest import Home
from tests.run_queue import A, B

PROGRAM = Path(sys.executable).with_name("dagster-clt")


def _columns(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_a_line_for_each_code_location(home: Home) -> None:
    """Configured ones and those that have runs; what each waits for."""
    queue = home.queue()
    queue.queue(A, 5)
    queue.queue(B, 1)
    queue.put(A, DagsterRunStatus.STARTED, 3, tag=A)
    answer = home.run("status")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert _columns(lines[0]) == [
        *("CODE LOCATION", "QUEUED", "IN PROGRESS", "LIMIT", "FROM"),
        *("WEIGHT", "SHARE", "CREDIT", "OLDEST", "WAITS FOR"),
    ]
    a, b = _columns(lines[2]), _columns(lines[3])
    assert (a[:8], a[9]) == ([A, "5", "3", "3", "configuration", "1", "3.0", "0s"], "its limit")
    assert (b[:8], b[9]) == ([B, "1", "0", "5", "default", "1", "1.0", "0s"], "the next tick")
    assert lines[-1] == "3 in progress (of 10); 6 queued; sharing fair"


def test_a_live_limit_is_told_in_a_sentence(home: Home) -> None:
    """Who set it, below the table."""
    home.run("set-limit", A, "1", "--by", "ann", "--force")
    assert f"{A}: limit set live by ann at " in home.run("status").out


def test_json_has_the_documented_fields(home: Home) -> None:
    """For scripts."""
    home.queue().queue(A, 2)
    home.run("set-limit", A, "1")
    data = json.loads(home.run("status", "--output", "json").out)
    (a,) = data.pop("code_locations")
    assert data == {
        "max_concurrent_runs": 10,
        "sharing": "fair",
        "queued": 2,
        "in_progress": 0,
        "without_code_location": 0,
        "queue_reading": None,
        "dequeued_by": None,
        "groups": [],
    }
    assert a.pop("oldest_queued_seconds") >= 0
    assert "@" in a.pop("changed_by")
    assert a.pop("changed_at").endswith("+00:00")
    assert a == {
        "code_location": A,
        "queued": 2,
        "in_progress": 0,
        "limit": 1,
        "limit_from": "live",
        "changed_until": None,
        "change_reason": None,
        "max_queued": None,
        "refused": None,
        "weight": 1.0,
        "share": 1,
        "credit_slot_seconds": 0.0,
        "group": None,
        "min": 0,
        "waits_for": "the next tick",
    }


def test_what_has_waited_a_while_though_it_could_start_is_left_to_explain(home: Home) -> None:
    """A tag limit or a pool may hold it; the likely thing stands first all the same."""
    queue = home.queue()
    queue.queue(A, 1)
    with queue.storage.connect() as connection:
        connection.execute(RunsTable.update().values(create_timestamp=datetime(2026, 1, 1)))
    (a,) = json.loads(home.run("status", "--output", "json").out)["code_locations"]
    assert a["waits_for"] == "the next tick; if it stays so, see `dagster-clt explain`"


def test_a_full_pool_that_holds_a_code_location_is_named(home: Home) -> None:
    """As long as it is full."""
    home.configure({"max_concurrent_runs": 10}, concurrency={"pools": {"granularity": "run"}})
    queue = home.queue()
    queue.instance.event_log_storage.set_concurrency_slots("database", 1)
    queue.queue(B, 1, pool="database")
    assert queue.tick() == {B: 1}
    queue.queue(A, 2, pool="database")
    queue.queue("code-location-c", 1)
    assert queue.tick() == {"code-location-c": 1}
    answer = home.run("status", "--output", "json")
    waits_for = {line["code_location"]: line["waits_for"] for line in json.loads(answer.out)["code_locations"]}
    assert waits_for == {A: "the pool database", B: "", "code-location-c": ""}
    queue.end(B)
    data = json.loads(home.run("status", "--output", "json").out)
    assert data["code_locations"][0]["waits_for"] == "the next tick"


def test_a_code_location_of_the_workspace_that_never_ran_is_shown(home: Home) -> None:
    """With the limit that it would have; only where there is a workspace file."""
    home.queue().queue(B, 1)
    (home.folder / "workspace.yaml").write_text(
        "load_from: [{grpc_server: {host: a, port: 4000, location_name: never-ran}}, {python_file: jobs.py}]"
    )
    lines = [_columns(line) for line in home.run("status").out.splitlines()[2:5]]
    assert [line[:5] for line in lines] == [
        *([A, "0", "0", "3", "configuration"], [B, "1", "0", "5", "default"]),
        ["never-ran", "0", "0", "5", "default"],
    ]
    (home.folder / "workspace.yaml").unlink()
    names = [
        line["code_location"] for line in json.loads(home.run("status", "--output", "json").out)["code_locations"]
    ]
    assert names == [A, B]


def test_slots_are_shown_where_they_count(home: Home) -> None:
    """In a column beside the runs, and in the last line."""
    home.configure({"max_concurrent_runs": 20, "code_location_limits": {"slot": {"cpu": 1}, "default": 9}})
    queue = home.queue()
    queue.queue(A, 3, tags={"slots": "4"})
    assert queue.tick() == {A: 2}
    data = json.loads(home.run("status", "--output", "json").out)
    assert (data["in_progress"], data["in_progress_slots"]) == (2, 8)
    lines = home.run("status").out.splitlines()
    assert _columns(lines[0])[:5] == ["CODE LOCATION", "QUEUED", "IN PROGRESS", "SLOTS", "LIMIT"]
    assert _columns(lines[2])[:5] == [A, "1", "2", "8", "9"]
    assert lines[-1].startswith("2 in progress (8 of 20 slots); 1 queued")


def test_groups_and_minimums_are_shown(home: Home) -> None:
    """Each group with what it has and where its limit holds its code locations."""
    home.configure(
        {
            "max_concurrent_runs": 6,
            "code_location_limits": {
                "sharing": "fair",
                "locations": {A: {"min": 1}},
                "groups": {"the team": {"locations": [B, A], "limit": 2, "min": 2, "weight": 3}},
            },
        }
    )
    queue = home.queue()
    queue.queue(B, 4)
    assert queue.tick() == {B: 2}
    queue.queue(A, 3)
    queue.queue("code-location-c", 6)
    data = json.loads(home.run("status", "--output", "json").out)
    (group,) = data["groups"]
    assert group.pop("credit_slot_seconds") == 0  # it has nothing beyond its share
    assert group == {
        "group": "the team",
        "locations": [A, B],
        "queued": 5,
        "in_progress": 2,
        "limit": 2,
        "min": 2,
        "weight": 3.0,
        "share": 2,
        "waits_for": "its limit",
    }
    assert [(line["group"], line["min"], line["share"], line["waits_for"]) for line in data["code_locations"]] == [
        ("the team", 1, 1, "its group's limit"),
        ("the team", 0, 1, "its group's limit"),
        (None, 0, 4, "the next tick"),
    ]
    lines = home.run("status").out.splitlines()
    assert _columns(lines[0])[:6] == ["CODE LOCATION", "QUEUED", "IN PROGRESS", "LIMIT", "MIN", "FROM"]
    assert _columns(lines[8])[:5] == ["the team", "5", "2", "2", "2"]


def test_a_queue_with_a_limit_shows_it_and_what_was_refused(home: Home) -> None:
    """Beside the queued runs; the others show none."""
    home.configure({"code_location_limits": {"locations": {A: {"max_queued": 2}}}})
    queue = home.queue()
    queue.queue(A, 2)
    queue.queue(B, 1)
    with pytest.raises(QueueFullError):
        queue.submit(A)
    lines = home.run("status").out.splitlines()
    assert [_columns(line)[:2] for line in lines[2:4]] == [[A, "2/2"], [B, "1"]]
    data = json.loads(home.run("status", "--output", "json").out)
    assert [(line["max_queued"], line["refused"]) for line in data["code_locations"]] == [(2, 1), (None, None)]


def test_an_open_circuit_breaker_is_shown_with_its_reason(home: Home) -> None:
    """And who is held waits for it."""
    home.configure({"code_location_limits": {"default": {"breaker": {"failures": 1, "pause_for": "2h"}}}})
    queue = home.queue()
    (run_id,) = queue.queue(A)
    queue.tick()
    queue.instance.report_run_failed(queue.run(run_id))
    queue.tick()
    queue.queue(A)
    answer = home.run("status").out
    assert _columns(answer.splitlines()[2])[:5] == [A, "1", "0", "0", "breaker"]
    assert f"1 failed run in a row, last {run_id}" in answer
    (line,) = json.loads(home.run("status", "--output", "json").out)["code_locations"]
    assert (line["limit_from"], line["waits_for"]) == ("breaker", "its circuit breaker")
    assert home.run("resume", A).code == 0
    assert queue.tick() == {A: 1}


def test_untagged_runs_are_shown_where_they_belong(home: Home) -> None:
    """As the daemon counts them."""
    queue = home.queue()
    queue.put(A, DagsterRunStatus.STARTED, 2)
    queue.put(A, DagsterRunStatus.QUEUED, 1)
    queue.put(None, DagsterRunStatus.STARTED, 1)
    data = json.loads(home.run("status", "--output", "json").out)
    assert data["without_code_location"] == 1
    assert [(line["queued"], line["in_progress"]) for line in data["code_locations"]] == [(1, 2)]


def test_the_shown_limit_is_the_one_that_the_daemon_applies(home: Home) -> None:
    """With a tag limit beside, a live limit and a pause."""
    home.configure({**CONFIG_WITH_TAG_LIMIT})
    queue = home.queue()
    home.run("set-limit", B, "4", "--force")
    home.run("pause", "code-location-c", "--force")
    for name in (A, B, "code-location-c", "code-location-d"):
        queue.queue(name, 6)
    started = queue.tick()
    data = json.loads(home.run("status", "--output", "json").out)
    shown = {line["code_location"]: line["limit"] for line in data["code_locations"]}
    assert shown == {A: 2, B: 4, "code-location-c": 0, "code-location-d": 5}
    assert {name: started.get(name, 0) for name in shown} == shown


CONFIG_WITH_TAG_LIMIT = {
    "max_concurrent_runs": 50,
    "tag_concurrency_limits": [{"key": "code_location", "value": A, "limit": 2}],
    "code_location_limits": {"default": 5, "locations": {A: 3}},
}


def test_a_closed_standard_output_is_no_error_of_the_database(home: Home) -> None:
    """Cron jobs and service managers may close it."""
    environment = {**os.environ, "DAGSTER_HOME": str(home.folder)}
    command = ["/bin/sh", "-c", f"'{PROGRAM}' status >&-"]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_watch_refuses_json(home: Home) -> None:
    """Wrong usage has exit code 2."""
    answer = home.run("status", "--watch", "--output", "json")
    assert answer.code == 2
    assert "--watch shows a table; leave out --output json." in answer.err


def test_watch_refreshes_in_place_until_it_is_interrupted(home: Home) -> None:
    """On a real terminal; Ctrl-C ends it with exit code 0."""
    queue = home.queue()
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, "status", "--watch", "--interval", "0.2"],
        env={**os.environ, "DAGSTER_HOME": str(home.folder), "COLUMNS": "160", "TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        close_fds=True,
        preexec_fn=hear_interrupts,  # noqa: PLW1509 - no thread runs here
    )
    os.close(terminal)
    shown = ""
    try:
        while "0 queued" not in shown:
            shown += os.read(controller, 65536).decode(errors="replace")
        queue.queue(A, 7)
        while "7 queued" not in shown:
            shown += os.read(controller, 65536).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()
        os.close(controller)
    assert "Traceback" not in shown


def hear_interrupts() -> None:
    """A shell starts its background jobs, tests among them, with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
