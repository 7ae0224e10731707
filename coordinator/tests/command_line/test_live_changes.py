"""`dagster-clt set-limit`, `clear-limit`, `pause` and `resume`."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clt_queued_run_coordinator.policy.changes import PREFIX
from clt_queued_run_coordinator.store import live
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


def test_all_of_none_is_said(home: Home) -> None:
    """Before the first run of any."""
    home.configure({})
    answer = home.run("pause", "--all")
    assert answer.out == "No code location is known yet; those that come go by it from their first run on.\n"


def test_an_unknown_code_location_is_refused_with_the_nearest_name(home: Home) -> None:
    """--force accepts the name anyway."""
    answer = home.run("set-limit", "code_location_A", "2")
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err == (
        "Error: No run was ever queued from a code location 'code_location_A'; did you mean 'code-location-a'?"
        " --force accepts the name anyway.\n"
    )
    assert home.run("set-limit", "code-location-new", "2", "--force").code == 0
    assert home.run("set-limit", "code-location-new", "3").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["set-limit", A, "-1"], "-1 is not in the range 0<=x<=2147483647"),
        (["set-limit", A, str(2**31)], "2147483648 is not in the range 0<=x<=2147483647"),
        (["status", "--watch", "--interval", "inf"], "inf is not in the range 0.1<=x<=86400"),
        (["drain", A, "--interval", "nan"], "nan is not a number"),
        (["pause", "\udcff"], "isn't text in UTF-8"),
        (["set-limit", A, "three"], "'three' is not a valid integer range"),
        (["set-limit", A], "Missing argument 'LIMIT'"),
        (["set-limit", "*", "1"], "'*' can't be the name of a code location"),
        (["set-limit", " ", "1"], "' ' can't be the name of a code location"),
        (["pause"], "Name one LOCATION, or give --all."),
        (["pause", A, "--all"], "Name one LOCATION, or give --all."),
        (["check", "--chart", "x"], "--chart works only with --values"),
        (["check", "--fix", "--values", "x"], "--fix works on an instance"),
        (["frobnicate"], "No such command 'frobnicate'"),
    ],
)
def test_wrong_usage_has_exit_code_2(home: Home, arguments: list[str], message: str) -> None:
    """And a message that says what is wrong."""
    answer = home.run(*arguments)
    assert answer.code == 2
    assert message in answer.err
    assert answer.out == ""


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
    stored = instance.daemon_cursor_storage.get_cursor_values({f"{PREFIX}/limit/{name}" for name in names})
    assert sorted(live.parse(stored.items()).limits) == names


def test_a_corrupt_stored_change_is_told_and_can_be_written_again(home: Home) -> None:
    """On standard error, by its key; the configuration holds meanwhile."""
    key = f"{PREFIX}/limit/{A}"
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


def test_a_pause_tells_when_it_ends_and_what_holds_then(home: Home) -> None:
    """The configured limit, the live one, or the pause that goes on."""
    end = "2999-01-01T01:00+01:00"
    until = "from the next tick until 2999-01-01 00:00 UTC"
    assert home.run("pause", A, "--until", end).out == (
        f"{A}: limit 0 (paused) {until}, then limit 3 (configuration)\n"
    )
    home.run("set-limit", A, "7")
    assert home.run("pause", A, "--until", end).out == f"{A}: limit 0 (paused) {until}, then limit 7 (live)\n"
    assert home.run("resume", A).out == f"{A}: limit 7 (live) from the next tick on\n"
    assert home.run("set-limit", A, "2", "--until", end).out == (
        f"{A}: limit 2 (live) {until}, then limit 7 (live)\n"
    )
    home.run("pause", A)
    answer = home.run("pause", A, "--until", end).out
    assert answer.startswith(
        f"{A}: limit 0 (paused) from the next tick on, and after 2999-01-01 00:00 UTC too: paused by "
    )
    assert home.run("resume", A).out == f"{A}: limit 2 (live) {until}, then limit 7 (live)\n"
    assert home.run("clear-limit", A).out == f"{A}: limit 3 (configuration) from the next tick on\n"


def test_a_pause_ends_after_its_time(home: Home) -> None:
    """A real second of the database's clock."""
    queue = home.queue()
    queue.queue(A, 1)
    assert home.run("pause", "--all", "--for", "1s", "--reason", "moving").code == 0
    deadline = time.monotonic() + 60
    while not (started := queue.tick()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert started == {A: 1}


def test_an_end_that_has_passed_is_refused(home: Home) -> None:
    """In one line, and nothing is changed."""
    answer = home.run("pause", A, "--until", "2020-01-01T00:00Z")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith(
        "Error: The end 2020-01-01T00:00:00+00:00 has passed; by the database's clock it is"
    )
    assert len(answer.err.splitlines()) == 1
    assert json.loads(home.run("history", "--output", "json").out) == []


def test_status_shows_the_end_and_the_reason(home: Home) -> None:
    """In the table and in JSON; a reason's line breaks and blanks become single blanks."""
    home.run("pause", A, "--until", "2999-01-01T00:00Z", "--reason", "the [database]\n  is moved")
    (line,) = json.loads(home.run("status", "--output", "json").out)["code_locations"]
    assert line["changed_until"] == "2999-01-01T00:00:00+00:00"
    assert line["change_reason"] == "the [database] is moved"
    table = home.run("status").out
    assert f"\n{A}: paused until 2999-01-01 00:00 UTC by " in table
    assert "UTC: the [database] is moved\n" in table
    home.run("resume", A)
    (line,) = json.loads(home.run("status", "--output", "json").out)["code_locations"]
    assert (line["limit_from"], line["changed_until"], line["change_reason"]) == ("configuration", None, None)


def test_an_open_window_is_shown_with_its_end(home: Home) -> None:
    """And the daemon goes by it."""
    window = {"cron": "0 * * * *", "for": "59m59s", "limit": 1}
    home.configure({"code_location_limits": {"locations": {A: {"limit": 3, "windows": [window]}}}})
    queue = home.queue()
    queue.queue(A, 3)
    (line,) = json.loads(home.run("status", "--output", "json").out)["code_locations"]
    if line["limit_from"] == "window":  # but for one second of each hour
        assert line["limit"] == 1
        assert line["changed_until"].endswith(":59:59+00:00")
        assert queue.tick() == {A: 1}
        assert home.run("set-limit", A, "2").out == f"{A}: limit 2 (live) from the next tick on\n"


def test_the_history_tells_who_changed_what_until_when_and_why(home: Home) -> None:
    """Newest first; of one code location with what was changed for all."""
    home.run("set-limit", A, "2", "--until", "2999-01-01T00:00Z", "--reason", "slow database")
    home.run("pause", B, "--force")
    home.run("resume", "--all")
    home.run("clear-limit", A)
    data = json.loads(home.run("history", A, "--output", "json").out)
    assert all("@" in entry.pop("by") and entry.pop("at").endswith("+00:00") for entry in data)
    assert data == [
        {"code_location": A, "change": "limit", "from": 2, "to": None, "until": None, "reason": None},
        {"code_location": "*", "change": "paused", "from": None, "to": False, "until": None, "reason": None},
        {
            "code_location": A,
            "change": "limit",
            "from": None,
            "to": 2,
            "until": "2999-01-01T00:00:00+00:00",
            "reason": "slow database",
        },
    ]
    lines = home.run("history", "--limit", "3").out.splitlines()
    assert lines[0].split("  ")[0] == "WHEN"
    assert [re.split("  +", line.strip())[2:] for line in lines[2:]] == [
        [A, "limit cleared, 2 before"],
        ["every code location", "resumed"],
        [B, "paused"],
    ]


def test_without_changes_the_history_is_empty(home: Home) -> None:
    """Nothing on standard output."""
    answer = home.run("history")
    assert (answer.code, answer.out, answer.err) == (0, "", "No live changes yet.\n")


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_somebody_else_than_the_pods_user_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """By --by, or by a variable for all commands of a shell or a pipeline; an empty one counts as none."""
    monkeypatch.setenv("DAGSTER_CLT_BY", "the pipeline")
    home.run("set-limit", A, "2")
    home.run("pause", A, "--by", "Ada  Lovelace", "--reason", "a try")
    home.run("resume", A)
    home.run("drain", A, "--by", "Grace")
    home.run("resume", "--all")
    monkeypatch.setenv("DAGSTER_CLT_BY", "")
    home.run("clear-limit", A)
    history = json.loads(home.run("history", "--output", "json").out)
    newest, *older = [entry["by"] for entry in history]
    assert "@" in newest
    assert older == ["the pipeline", "Grace", "the pipeline", "Ada Lovelace", "the pipeline"]


@pytest.mark.parametrize(
    ("by", "message"), [(" ", "it is empty"), ("a\x1b[2J", "can't be printed"), ("a" * 501, "501")]
)
@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_a_name_that_cannot_be_shown_is_refused(home: Home, by: str, message: str) -> None:
    """As a reason is."""
    for option in ("--by", "--reason"):
        answer = home.run("pause", A, option, by)
        assert answer.code == 2
        assert message in answer.err
    assert home.run("history").out == ""


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_what_is_taken_back_leaves_nothing(home: Home) -> None:
    """Also of a name that nobody knows, with --force; without it, it is refused."""
    home.queue().queue(A, 1)
    assert "did you mean 'code-location-a'?" in home.run("resume", "code-locaton-a").err
    for name in ("code-locaton-a", A):
        for command in (["pause", name], ["set-limit", name, "2"], ["resume", name], ["clear-limit", name]):
            assert home.run(*command, "--force").code == 0
    lines = json.loads(home.run("status", "--output", "json").out)["code_locations"]
    assert [(line["code_location"], line["limit_from"]) for line in lines] == [(A, "configuration")]
    assert home.run("check").out == ""
    home.run("pause", "--all")
    home.run("resume", "code-locaton-a", "--force")
    home.run("resume", "--all")
    assert home.run("check").out == ""
