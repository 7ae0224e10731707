"""`dagster-clt images`."""

import json
import re

from dagster import DagsterRunStatus
from tests.command_line.conftest import Home
from tests.run_queue import A, B

OLD, NEW = "registry.example/a:1", "registry.example/a:2"


def test_each_image_with_the_runs_that_use_it(home: Home) -> None:
    """By code location; runs that have ended don't count."""
    queue = home.queue()
    queue.queue(A, 2, image=OLD)
    queue.queue(A, 1, image=NEW)
    queue.create(A, status=DagsterRunStatus.STARTED, image=OLD)
    queue.create(B, status=DagsterRunStatus.CANCELING, image=OLD)
    queue.create(A, status=DagsterRunStatus.SUCCESS, image="registry.example/a:0")
    answer = home.run("images")
    assert (answer.code, answer.err) == (0, "")
    assert [re.split(r"\s{2,}", line.strip()) for line in answer.out.splitlines()[2:]] == [
        [OLD, A, "2", "1"],
        [OLD, B, "0", "1"],
        [NEW, A, "1", "0"],
    ]


def test_what_a_user_writes_is_no_image(home: Home) -> None:
    """A tag may say anything; the run's origin counts."""
    lies = {"dagster/image": "registry.example/lie:1", "container_image": "registry.example/lie:2"}
    home.queue().queue(A, tags=lies, image=OLD)
    assert json.loads(home.run("images", "--output", "json").out) == [
        {"image": OLD, "code_location": A, "queued": 1, "in_progress": 0}
    ]


def test_runs_without_an_image(home: Home) -> None:
    """On one machine code servers have none."""
    home.queue().put(None, DagsterRunStatus.STARTED)
    (line,) = json.loads(home.run("images", "--output", "json").out)
    assert line == {"image": None, "code_location": None, "queued": 0, "in_progress": 1}


def test_with_dagsters_own_coordinator(home: Home) -> None:
    """Which is in force before a move to this package's."""
    home.configure({}, run_coordinator={"module": "dagster", "class": "QueuedRunCoordinator"})
    answer = home.run("images")
    assert (answer.code, answer.out, answer.err) == (0, "", "No run is queued or in progress.\n")


def test_a_name_that_would_write_to_the_terminal(home: Home) -> None:
    """It is shown as text."""
    home.queue().create(A, status=DagsterRunStatus.STARTED, image="a\x1b[31m\nb")
    out = home.run("images").out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 3
