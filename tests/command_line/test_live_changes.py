"""`dagster-clt set-limit`, `clear-limit`, `pause` and `resume`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from clt_queued_run_coordinator.limits import live

from tests.command_line.conftest import Home
from tests.run_queue import A, B

PROGRAM = Path(sys.executable).with_name("dagster-clt")


def test_a_limit_is_set_and_cleared(home: Home) -> None:
    """Each answer tells what is in force."""
    assert home.run("set-limit", A, "7").out == f"{A}: limit 7 (live) from the next tick on\n"
    assert home.run("clear-limit", A).out == f"{A}: limit 3 (configuration) from the next tick on\n"


def test_the_answer_holds_for_a_code_location_without_a_line_of_its_own(home: Home) -> None:
    """The default holds for one whose runs are all gone, and which nothing names any more."""
    home.run("set-limit", B, "7", "--force")
    assert home.run("clear-limit", B).out == f"{B}: limit 5 (default) from the next tick on\n"
    assert home.run("resume", B, "--force").out == f"{B}: limit 5 (default) from the next tick on\n"


def test_no_limit_is_said_where_none_holds(home: Home) -> None:
    """Without a default."""
    home.configure({})
    assert home.run("clear-limit", B, "--force").out == f"{B}: no limit from the next tick on\n"


def test_resume_brings_the_limit_from_before_the_pause_back(home: Home) -> None:
    """A live one here."""
    home.run("set-limit", A, "7")
    assert home.run("pause", A).out == f"{A}: limit 0 (paused) from the next tick on\n"
    assert home.run("resume", A).out == f"{A}: limit 7 (live) from the next tick on\n"


def test_pause_all_holds_code_locations_that_are_seen_later(home: Home) -> None:
    """And resume --all lets all of them go on."""
    queue = home.queue()
    queue.queue(A, 1)
    assert home.run("pause", "--all").code == 0
    queue.queue(B, 1)
    assert queue.tick() == {}
    assert home.run("resume", B, "--force").code == 0
    assert queue.tick() == {B: 1}
    assert home.run("resume", "--all").code == 0
    assert queue.tick() == {A: 1}


def test_an_unknown_code_location_is_refused_with_the_nearest_name(home: Home) -> None:
    """--force takes it anyway."""
    answer = home.run("set-limit", "code_location_A", "2")
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err == (
        "Error: No run was ever queued from a code location 'code_location_A'; did you mean 'code-location-a'?"
        " --force takes it anyway.\n"
    )
    assert home.run("set-limit", "code-location-new", "2", "--force").code == 0
    assert home.run("set-limit", "code-location-new", "3").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["set-limit", A, "-1"], "-1 is not in the range x>=0"),
        (["set-limit", A, "three"], "'three' is not a valid integer range"),
        (["set-limit", A], "Missing argument 'LIMIT'"),
        (["set-limit", "*", "1"], "'*' is not the name of a code location."),
        (["set-limit", " ", "1"], "' ' is not the name of a code location."),
        (["pause"], "Name one LOCATION, or give --all."),
        (["pause", A, "--all"], "Name one LOCATION, or give --all."),
        (["check", "--chart", "x"], "--chart is for --values"),
        (["check", "--fix", "--values", "x"], "--fix is for an instance"),
        (["frobnicate"], "No such command 'frobnicate'"),
    ],
)
def test_wrong_usage_has_exit_code_2(home: Home, arguments: list[str], message: str) -> None:
    """And a message that says what is wrong."""
    answer = home.run(*arguments)
    assert answer.code == 2
    assert message in answer.err


def test_changes_of_different_code_locations_at_the_same_moment_all_survive(home: Home) -> None:
    """Eight processes at once."""
    names = [f"code-location-{number}" for number in range(8)]
    instance = home.queue().instance  # Dagster's own first start makes the tables, one process at a time
    processes = [
        subprocess.Popen(
            [PROGRAM, "set-limit", name, "2", "--force"],
            env={**os.environ, "DAGSTER_HOME": str(home.folder)},
            stdout=subprocess.DEVNULL,
        )
        for name in names
    ]
    assert [process.wait(timeout=240) for process in processes] == [0] * 8
    stored = instance.daemon_cursor_storage.get_cursor_values({f"{live.PREFIX}/limit/{name}" for name in names})
    assert sorted(live.parse(stored.items()).limits) == names


def test_a_corrupt_stored_change_is_told_and_can_be_written_again(home: Home) -> None:
    """On standard error, by its key; the configuration holds meanwhile."""
    key = f"{live.PREFIX}/limit/{A}"
    home.queue().instance.daemon_cursor_storage.set_cursor_values({key: "[1, 2"})
    answer = home.run("status")
    assert answer.code == 0
    assert key in answer.err
    assert home.run("set-limit", A, "4").err == ""


def test_a_change_that_tag_limits_of_the_instance_shadow_is_told(home: Home) -> None:
    """It is kept, and nothing applies it."""
    home.configure({}, concurrency={"runs": {"tag_concurrency_limits": [{"key": "x", "limit": 1}]}})
    answer = home.run("pause", A, "--force")
    assert answer.code == 0
    assert "Beware: dagster.yaml: concurrency.runs: tag_concurrency_limits replaces every limit" in answer.err
