"""What version 2.0.0 of this package stored and was configured with means the same to this version."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.command_line.conftest import Home
from tests.run_queue import RunQueue

RECORDED: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("stored_by_2_0_0.yaml").read_text())
CHANGES, ALL_PAUSED = RECORDED["recordings"].values()


def restore(home: Home, recording: dict[str, Any]) -> RunQueue:
    """The instance as 2.0.0 left it."""
    home.configure(RECORDED["config"])
    queue = home.queue()
    for key, value in recording["stored"].items():
        queue.instance.daemon_cursor_storage.set_cursor_values({key: value})
    return queue


def lines(home: Home) -> list[dict[str, Any]]:
    """What `dagster-clt status` says of the code locations."""
    answer = home.run("status", "--output", "json")
    assert (answer.code, answer.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(answer.out)["code_locations"]
    return found


@pytest.mark.parametrize("recording", RECORDED["recordings"].values(), ids=list(RECORDED["recordings"]))
def test_the_same_limits_and_weights_are_in_force(home: Home, recording: dict[str, Any]) -> None:
    """Status shows what 2.0.0 showed: live limits, pauses, those taken back, and the configuration."""
    restore(home, recording)
    found = lines(home)
    assert {line["code_location"]: [line["limit"], line["limit_from"]] for line in found} == recording["limits"]
    assert {line["code_location"]: line["weight"] for line in found} == recording["weights"]


def test_a_tick_starts_what_they_allow(home: Home) -> None:
    """A live limit, a live pause and a limit that was taken back."""
    queue = restore(home, CHANGES)
    for code_location in ("limited", "paused", "held"):
        queue.queue(code_location, 4)
    queue.queue("cleared", 5)
    assert queue.tick() == {"limited": 2, "cleared": 4}


def test_they_are_taken_back_as_this_versions_own(home: Home) -> None:
    """`clear-limit` and `resume` bring the configuration back, and the history begins with them."""
    queue = restore(home, CHANGES)
    for arguments in (
        ("clear-limit", "limited"),
        ("resume", "paused"),
        ("resume", "both"),
        ("clear-limit", "both"),
    ):
        assert home.run(*arguments).code == 0
    limits = {line["code_location"]: (line["limit"], line["limit_from"]) for line in lines(home)}
    assert [limits[name] for name in ("limited", "paused", "both")] == [
        (8, "configuration"),
        (3, "configuration"),
        (5, "configuration"),
    ]
    queue.queue("limited", 9)
    assert queue.tick() == {"limited": 8}
    assert len(json.loads(home.run("history", "--output", "json").out)) == 4


def test_a_pause_of_all_holds_code_locations_that_came_later(home: Home) -> None:
    """Also one that 2.0.0 never saw; the one that was resumed starts its runs."""
    queue = restore(home, ALL_PAUSED)
    queue.queue("new", 2)
    queue.queue("heavy", 2)
    assert queue.tick() == {"heavy": 2}
    assert home.run("resume", "--all").code == 0
    assert queue.tick() == {"new": 2}
