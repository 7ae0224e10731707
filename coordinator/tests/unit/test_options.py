"""What the commands refuse before they open an instance: ends and reasons that can't be."""

from datetime import datetime, timezone

import pytest
from clt_queued_run_coordinator.cli import main
from clt_queued_run_coordinator.config.duration import moment_of
from tests.runner import new_runner

A = "code-location-a"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pause", A, "--for", "2h", "--until", "2999-01-01T00:00Z"], "Give --for or --until, not both."),
        (["pause", A, "--for", "soon"], "'soon' is not a duration; write one such as 45s"),
        (["pause", A, "--for", "0s"], "'0s' is not a duration"),
        (["set-limit", A, "1", "--for", "9999999d"], "'9999999d' is not a duration"),
        (
            ["pause", A, "--until", "tomorrow"],
            "'tomorrow' is not a date and time; write one such as 2026-12-24T18:00+01:00",
        ),
        (["pause", A, "--until", "2999-01-01T00:00"], "lacks its offset from UTC"),
        (["pause", A, "--until", "9999-12-31T23:59-14:00"], "is too far in the future; leave it out"),
        (["resume", A, "--reason", " \n"], "it is empty; write something, or leave it out"),
        (["resume", A, "--reason", "\x1b[31mred"], "it contains characters that can't be printed"),
        (["resume", A, "--reason", "x" * 501], "it has 501 characters; shorten it to 500"),
        (["drain"], "Name one LOCATION, or give --all."),
        (["drain", A, "--timeout", "soon"], "'soon' is not a duration"),
        (["drain", A, "--interval", "0"], "0.0 is not in the range 0.1<=x<=86400"),
        (["history", "--limit", "0"], "0 is not in the range x>=1"),
    ],
)
def test_wrong_usage_has_exit_code_2(arguments: list[str], message: str) -> None:
    """And a message that says what is wrong, and how to do it."""
    result = new_runner().invoke(main, arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "text", ["2026-12-24T18:00+01:00", "2026-12-24 17:00Z", "2026-12-24T17:00:00.000z", " 2026-12-24T12:00-05:00"]
)
def test_a_moment_is_understood_with_its_offset(text: str) -> None:
    """And turned into UTC."""
    moment = moment_of(text)
    assert moment == datetime(2026, 12, 24, 17, tzinfo=timezone.utc)


def test_a_moment_before_the_first_year_is_long_past() -> None:
    """It isn't far in the future; whoever makes a change says that it has passed."""
    assert moment_of("0001-01-01T00:00+14:00") == datetime.min.replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("dagster-clt pau", ["pause"]),
        ("dagster-clt --v", ["--version", "--verbose"]),
        ("dagster-clt pause --f", ["--for", "--force"]),
    ],
)
def test_a_shell_completes_commands_and_options(words: str, completed: list[str]) -> None:
    """As click tells bash."""
    variables = {
        "_DAGSTER_CLT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    result = new_runner().invoke(main, [], prog_name="dagster-clt", env=variables)
    assert [line.removeprefix("plain,") for line in result.stdout.splitlines()] == completed
