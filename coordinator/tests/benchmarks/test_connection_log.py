"""What a PostgreSQL's log tells of a program's connections."""

import pytest
from benchmarks.connection_log import Interval, at_once, of

LOG = """\
100.000|7||LOG:  connection authorized: user=dagster database=dagster application_name=tick
100.010|7|tick|LOG:  duration: 4.000 ms  statement: SELECT 1
\tFROM runs
100.020|8||LOG:  connection authorized: user=dagster database=dagster application_name=webserver
100.030|7|tick|LOG:  duration: 1.000 ms  statement: BEGIN
100.040|7|tick|LOG:  duration: 2.000 ms  statement: UPDATE kvs SET value = 1
100.090|7|tick|LOG:  duration: 1.000 ms  statement: COMMIT
100.100|7|tick|LOG:  disconnection: session time: 0:00:00.105 user=dagster database=dagster
100.110|9|tick|LOG:  disconnection: session time: 1:01:01.000 user=dagster database=dagster
""".splitlines()


def test_a_connection_is_open_until_it_is_disconnected() -> None:
    """Also one that was opened before the log's part, and one that still is open."""
    found = of("tick", LOG, [Interval(50, 200)])
    assert found.opened == 1
    expected = [(50, 200), (100, 100.1), (100.11 - 3661, 100.11)]
    assert [(each.begin, each.end) for each in found.open] == [pytest.approx(each) for each in expected]


def test_it_is_busy_for_a_statement_and_for_a_whole_transaction() -> None:
    """The statements in a transaction don't count by themselves."""
    busy = of("tick", LOG).busy
    expected = [(100.006, 100.01), (100.029, 100.09)]
    assert [(each.begin, each.end) for each in busy] == [pytest.approx(each) for each in expected]


def test_the_connections_of_other_programs_dont_count() -> None:
    """Each program has its own."""
    assert of("webserver", LOG).opened == 1
    assert of("webserver", LOG).open == ()


def test_a_statement_has_not_begun_before_the_last_one_ended() -> None:
    """The log's times are in whole milliseconds, the durations aren't."""
    lines = [
        "100.000|7|tick|LOG:  duration: 0.100 ms  statement: SELECT 1",
        "100.000|7|tick|LOG:  duration: 0.900 ms  statement: SELECT 2",
    ]
    assert at_once(of("tick", lines).busy) == 1


def test_intervals_that_only_touch_are_not_at_once() -> None:
    """One that begins where another ends takes its place."""
    assert at_once([Interval(1, 2), Interval(2, 3), Interval(1, 3)]) == 2
