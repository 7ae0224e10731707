"""What the commands print, whatever users named things."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from clt_queued_run_coordinator.cli import main
from clt_queued_run_coordinator.cli.errors import told
from clt_queued_run_coordinator.policy.changes import PREFIX, Kind
from clt_queued_run_coordinator.store import live
from dagster import DagsterRunStatus
from tests.command_line.conftest import Answer, Home
from tests.run_queue import A
from tests.runner import new_runner

PROGRAM = Path(sys.executable).with_name("dagster-clt")
LIAR = "team\x1b[2J\nHeld: nothing at all\r\u202e [bold]x[/bold] [/]"
on_sqlite = pytest.mark.parametrize("home", ["sqlite"], indirect=True)


def assert_safe(answer: Answer) -> None:
    """No line of it is one that a user wrote, and none steers a terminal."""
    for line in (answer.out + answer.err).splitlines():
        assert line.isprintable()
        assert not line.startswith("Held: nothing at all")


@on_sqlite
def test_no_name_forges_a_line_or_steers_the_terminal(home: Home) -> None:
    """Of a code location, a job, a tag, a reason or an error."""
    home.configure(
        {"max_concurrent_runs": 1, "tag_concurrency_limits": [{"key": LIAR, "value": LIAR, "limit": 1}]}
    )
    queue = home.queue()
    queue.put(LIAR, DagsterRunStatus.STARTED)
    (run_id,) = queue.queue(LIAR, job_name=LIAR, tags={LIAR: LIAR})
    live.write(queue.instance, Kind.PAUSED, LIAR, True, reason=LIAR, by=LIAR)
    queue.instance.daemon_cursor_storage.set_cursor_values({f"{PREFIX}/limit/{LIAR}2": LIAR})
    for command in (["status"], ["explain", run_id], ["history"], ["check"], ["explain", LIAR], ["pause", "team"]):
        answer = home.run(*command)
        assert answer.out or answer.err
        assert_safe(answer)
    names = [
        line["code_location"] for line in json.loads(home.run("status", "--output", "json").out)["code_locations"]
    ]
    assert names == [LIAR]
    assert json.loads(home.run("explain", run_id, "--output", "json").out)["job"] == LIAR
    assert_safe(home.run("resume", LIAR))
    assert_safe(home.run("drain", LIAR, "--timeout", "1s", "--interval", "0.1"))


@on_sqlite
def test_an_ascii_terminal_takes_any_name(home: Home) -> None:
    """Also half a character, which JSON can hold."""
    home.queue().queue("ünï漢\x7f", 1)
    for arguments in (["status"], ["status", "--output", "json"], ["check"]):
        answer = subprocess.run(
            [PROGRAM, *arguments],
            env={**os.environ, "DAGSTER_HOME": str(home.folder), "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert (answer.returncode, answer.stderr.count(b"Error")) == (0, 0), answer.stderr
        assert b"\x7f" not in answer.stdout


@on_sqlite
def test_a_reader_that_is_gone_is_no_error_of_the_database(home: Home) -> None:
    """Nothing is said, and the exit code is that of SIGPIPE."""
    home.queue().queue(A, 1)
    for arguments in (["status"], ["status", "--output", "json"]):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            answer = subprocess.run(
                [PROGRAM, *arguments],
                env={**os.environ, "DAGSTER_HOME": str(home.folder)},
                stdout=writing,
                stderr=subprocess.PIPE,
                check=False,
                timeout=120,
            )
        finally:
            os.close(writing)
        assert (answer.returncode, answer.stderr) == (141, b"")


@on_sqlite
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
@pytest.mark.parametrize("argument", ["status", "--help"])
def test_a_full_disk_is_no_bug(home: Home, argument: str) -> None:
    """It is told by the system's words."""
    with Path("/dev/full").open("w") as full:
        answer = subprocess.run(
            [PROGRAM, argument],
            env={**os.environ, "DAGSTER_HOME": str(home.folder)},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            timeout=120,
        )
    assert (answer.returncode, answer.stderr) == (1, "Error: No space left on device: the output\n")


@on_sqlite
def test_a_bug_is_told_in_one_line_and_where_by_v(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It isn't blamed on the database."""

    def fail(*_: object) -> None:
        raise KeyError("a\nb")

    monkeypatch.setattr("clt_queued_run_coordinator.operate.now.read", fail)
    assert home.run("status") == Answer(
        1, "", "Error: This is a bug in dagster-clt: KeyError: 'a\\nb'; `dagster-clt -v COMMAND` shows where.\n"
    )
    answer = home.run("-v", "status")
    assert answer.code == 1
    assert answer.err.startswith("Traceback (most recent call last):\n")
    assert answer.err.endswith("Error: This is a bug in dagster-clt: KeyError: 'a\\nb'.\n")


def test_ctrl_c_is_quiet() -> None:
    """With the exit code of SIGINT."""
    with pytest.raises(SystemExit) as ended, told(verbose=False):
        raise KeyboardInterrupt
    assert ended.value.code == 130


def test_a_database_that_cannot_be_used_is_told_with_what_to_do(tmp_path: Path) -> None:
    """What it says, without what SQLAlchemy adds; with the traceback only if it is asked for."""
    (tmp_path / "dagster.yaml").write_text(
        "run_coordinator: {module: clt_queued_run_coordinator.coordinator, class: CLTQueuedRunCoordinator}"
    )
    env = {"DAGSTER_HOME": str(tmp_path)}
    assert new_runner().invoke(main, ["status"], env=env).exit_code == 0
    (tmp_path / "history" / "runs.db").write_bytes(b"no database" * 1000)
    for file in (tmp_path / "history").glob("runs.db-*"):
        file.unlink()
    result = new_runner().invoke(main, ["status"], env=env)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The instance")
    assert "file is not a database" in result.stderr
    assert "SELECT" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help_imports_no_dagster() -> None:
    """So that it is there at once."""
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "clt_queued_run_coordinator.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in shown.stderr.splitlines()}
    assert "click" in imported
    assert imported.isdisjoint({"dagster", "sqlalchemy", "rich"})


def test_an_error_of_click_is_safe_too() -> None:
    """Its message may hold what was typed."""
    with pytest.raises(click.ClickException) as refused, told(verbose=False):
        raise click.ClickException("a\x1b[2J\nb")
    assert refused.value.message == r"a\x1b[2J\nb"
