"""`dagster-clt prioritize`."""

import pytest
from dagster._core.storage.runs.schema import RunTagsTable
from dagster._core.storage.tags import BACKFILL_ID_TAG, PRIORITY_TAG
from tests.command_line.conftest import Home
from tests.run_queue import A, B, RunQueue

ONE_AT_A_TIME = {"max_concurrent_runs": 1}


@pytest.fixture
def queue(home: Home) -> RunQueue:
    """A queue with one slot."""
    home.configure(ONE_AT_A_TIME)
    return home.queue()


def start_one(queue: RunQueue) -> str:
    """One tick, which starts one run; it ends at once."""
    (run_id,) = queue.tick_ids()
    queue.instance.report_run_canceled(queue.run(run_id))
    return run_id


def priorities(queue: RunQueue, run_id: str) -> tuple[str | None, list[str]]:
    """The priority in a run's body, and those in its rows."""
    query = RunTagsTable.select().where(RunTagsTable.c.run_id == run_id, RunTagsTable.c.key == PRIORITY_TAG)
    with queue.storage.connect() as connection:
        rows = [str(row["value"]) for row in connection.execute(query).mappings()]
    return queue.run(run_id).tags.get(PRIORITY_TAG), rows


def test_a_run_goes_first_from_the_next_tick_on(home: Home, queue: RunQueue) -> None:
    """Also where the daemon has seen it before, and with its other tags left alone."""
    first, second = queue.queue(A, 2)
    (third,) = queue.queue(B, tags={"team": "red"})
    assert start_one(queue) == first
    answer = home.run("prioritize", third, "5")
    assert (answer.code, answer.out) == (0, "1 queued run has priority 5; 0 had left the queue\n")
    assert queue.run(third).tags["team"] == "red"
    assert [start_one(queue), start_one(queue)] == [third, second]


def test_a_negative_priority_lets_the_others_go_first(home: Home, queue: RunQueue) -> None:
    """It is a number and no option."""
    first, second, third = queue.queue(A, 3)
    assert home.run("prioritize", first, second, "-2").out == (
        "2 queued runs have priority -2; 0 had left the queue\n"
    )
    assert [start_one(queue) for _ in range(3)] == [third, first, second]


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_body_and_rows_agree_whatever_rows_there_were(home: Home, queue: RunQueue, rows: int) -> None:
    """None, one, or doubled ones."""
    (run_id,) = queue.queue(A, priority=3)
    with queue.storage.connect() as connection:
        connection.execute(RunTagsTable.delete().where(RunTagsTable.c.key == PRIORITY_TAG))
    with queue.storage.connect() as connection:
        for _ in range(rows):
            connection.execute(RunTagsTable.insert().values(run_id=run_id, key=PRIORITY_TAG, value="3"))
    home.run("prioritize", run_id, "7")
    assert priorities(queue, run_id) == ("7", ["7"])


def test_the_runs_of_a_backfill_are_moved_together(home: Home, queue: RunQueue) -> None:
    """More than one transaction of them; those of another backfill stay."""
    (other,) = queue.queue(A, tags={BACKFILL_ID_TAG: "other"})
    (one,) = queue.queue(B, tags={BACKFILL_ID_TAG: 'it\'s 100% "odd"'})
    copies = queue.copy(one, 600)
    assert start_one(queue) == other
    (late,) = queue.queue(A, priority=1)
    answer = home.run("prioritize", "--backfill", 'it\'s 100% "odd"', "2")
    assert answer.out == "601 queued runs have priority 2; 0 had left the queue\n"
    assert [priorities(queue, run_id) for run_id in (one, copies[-1], late)] == [
        ("2", ["2"]),
        ("2", ["2"]),
        ("1", ["1"]),
    ]
    assert start_one(queue) == one


def test_the_runs_of_a_job_are_moved_together(home: Home, queue: RunQueue) -> None:
    """In each code location, or in one, also where a run lacks Dagster's label of it."""
    (a,) = queue.queue(A)
    (b,) = queue.queue(B)
    with queue.storage.connect() as connection:
        connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id == b))
    assert home.run("prioritize", "--job", "job", "--location", B, "1").out.startswith("1 queued run has")
    assert (priorities(queue, a)[0], priorities(queue, b)[0]) == (None, "1")
    assert home.run("prioritize", "--job", "job", "2").out.startswith("2 queued runs have")


def test_the_short_id_of_the_ui_is_taken_where_it_is_one_runs(home: Home, queue: RunQueue) -> None:
    """And refused where it is not, or is too short."""
    run_ids = ["abcdefab-0000-4000-8000-000000000001", "abcdefab-0000-4000-8000-000000000002"]
    queue.submit(A, run_id=run_ids[0])
    assert home.run("prioritize", "abcdefab", "1").code == 0
    assert priorities(queue, run_ids[0])[0] == "1"
    queue.submit(A, run_id=run_ids[1])
    assert home.run("prioritize", "abcdefab", "1").err == (
        "Error: The ids of several queued runs begin with 'abcdefab'; give the whole id.\n"
    )
    assert home.run("prioritize", "abcdefa", "1").err.startswith("Error: There is no run 'abcdefa'")


def test_runs_that_are_not_queued_are_left_alone(home: Home, queue: RunQueue) -> None:
    """They are counted beside queued ones, and refused without any."""
    started, queued = queue.queue(A, 2)
    assert queue.tick_ids() == [started]
    assert home.run("prioritize", started, queued, "3").out == (
        "1 queued run has priority 3; 1 had left the queue\n"
    )
    assert priorities(queue, started) == (None, [])
    answer = home.run("prioritize", started, "3")
    assert answer.code == 1
    assert answer.err == f"Error: Run {started} is STARTING; only a queued run has a place in the queue.\n"


def test_what_is_not_known_is_refused_in_one_line(home: Home, queue: RunQueue) -> None:
    """Nothing is written then, not to the others either."""
    (queued,) = queue.queue(A)
    (of_backfill,) = queue.queue(A, tags={BACKFILL_ID_TAG: "done"}, priority=9)
    assert start_one(queue) == of_backfill
    missing = "00000000-0000-4000-8000-000000000000"
    for arguments, message in [
        (
            (queued, missing, "5"),
            f"There is no run '{missing}'; copy the id from the UI or from `dagster run list`.",
        ),
        (("--backfill", "none", "5"), "There is no backfill 'none'; copy the id from the UI."),
        (("--backfill", "done", "5"), "The backfill 'done' has no queued runs."),
        (("--job", "jop", "5"), "No run was ever made of a job 'jop'; did you mean 'job'?"),
        (("--job", "job", "--location", B, "5"), f"The job 'job' of the code location '{B}' has no queued runs."),
    ]:
        answer = home.run("prioritize", *arguments)
        assert (answer.code, answer.out, answer.err) == (1, "", f"Error: {message}\n")
    assert priorities(queue, queued) == (None, [])


def test_wrong_usage_has_exit_code_2(home: Home) -> None:
    """And a message that says what is wrong."""
    for arguments, message in [
        ((), "Missing argument 'N'"),
        (("5",), "Give one of: RUN_ID, --backfill ID or --job NAME."),
        (("id", "--job", "job", "5"), "Give one of: RUN_ID, --backfill ID or --job NAME."),
        (("--backfill", "id", "--job", "job", "5"), "Give one of: RUN_ID, --backfill ID or --job NAME."),
        (("--backfill", "id", "--location", A, "5"), "--location works only with --job"),
        (("id", "first"), "'first' is not a valid integer"),
        (("id", "1.5"), "'1.5' is not a valid integer"),
        (("--backfil", "id", "5"), "No such option: --backfil"),
    ]:
        answer = home.run("prioritize", *arguments)
        assert answer.code == 2
        assert message in answer.err
