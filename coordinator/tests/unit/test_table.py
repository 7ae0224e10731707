# ruff: noqa: E501 - tables are as wide as they are
"""The whole table that `dagster-clt status` prints."""

import dataclasses
import io
from dataclasses import replace

import pytest
from clt_queued_run_coordinator.cli.status import status_table
from clt_queued_run_coordinator.operate.status import CodeLocationStatus, GroupStatus, Status
from clt_queued_run_coordinator.text.formats import duration
from rich.console import Console

LINES = [
    CodeLocationStatus(
        code_location="code-location-a",
        queued=12,
        in_progress=3,
        limit=3,
        limit_from="configuration",
        changed_by=None,
        changed_at=None,
        weight=1.0,
        share=3.0,
        oldest_queued_seconds=75.0,
        waits_for="its limit",
        credit_slot_seconds=125.0,
    ),
    CodeLocationStatus(
        code_location="code-location-[b]",
        queued=0,
        in_progress=0,
        limit=0,
        limit_from="paused",
        changed_by="ann@host",
        changed_at="2026-01-02T03:04:05+00:00",
        weight=2.5,
        share=0.0,
        oldest_queued_seconds=None,
        waits_for="",
        changed_until="2026-01-02T05:04:05+00:00",
        change_reason="the [database] is moved",
    ),
    CodeLocationStatus(
        code_location="code-location-c",
        queued=0,
        in_progress=1,
        limit=None,
        limit_from="none",
        changed_by=None,
        changed_at=None,
        weight=1.0,
        share=1.0,
        oldest_queued_seconds=None,
        waits_for="",
    ),
]


def printed(status: Status) -> str:
    """The table as it goes into a pipe."""
    out = io.StringIO()
    Console(file=out, width=160, highlight=False).print(status_table(status))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_the_table_with_fair_sharing() -> None:
    """Weights, shares and what was used have columns of their own."""
    assert (
        printed(Status(10, "fair", 12, 5, 1, LINES))
        == """\
CODE LOCATION      QUEUED  IN PROGRESS  LIMIT  FROM           WEIGHT  SHARE  CREDIT  OLDEST  WAITS FOR
──────────────────────────────────────────────────────────────────────────────────────────────────────
code-location-a        12            3      3  configuration       1    3.0   2m 5s  1m 15s  its limit
code-location-[b]       0            0      0  paused            2.5    0.0       -       -
code-location-c         0            1      -  none                1    1.0       -       -

code-location-[b]: paused until 2026-01-02 05:04:05 UTC by ann@host at 2026-01-02 03:04:05 UTC: the [database] is moved

5 in progress (of 10), 1 of them without a code location; 12 queued; sharing fair"""
    )


def test_the_table_with_groups_and_minimums() -> None:
    """Groups have a table of their own."""
    lines = [replace(LINES[0], min=2, group="the [team]", waits_for="its group's limit")]
    group = GroupStatus(
        group="the [team]", locations=["code-location-[b]", "code-location-a"], queued=12, in_progress=3, limit=3,
        min=2, weight=1.5, share=3.0, credit_slot_seconds=60.0, waits_for="its limit",
    )  # fmt: skip
    assert (
        printed(Status(10, "fair", 12, 3, 0, lines, groups=[group]))
        == """\
CODE LOCATION    QUEUED  IN PROGRESS  LIMIT  MIN  FROM           WEIGHT  SHARE  CREDIT  OLDEST  WAITS FOR
─────────────────────────────────────────────────────────────────────────────────────────────────────────────────
code-location-a      12            3      3    2  configuration       1    3.0   2m 5s  1m 15s  its group's limit

GROUP       QUEUED  IN PROGRESS  LIMIT  MIN  WEIGHT  SHARE  CREDIT  WAITS FOR  CODE LOCATIONS
─────────────────────────────────────────────────────────────────────────────────────────────────────────────────
the [team]      12            3      3    2     1.5    3.0   1m 0s  its limit  code-location-[b], code-location-a

3 in progress (of 10); 12 queued; sharing fair"""
    )


def test_the_table_without_sharing_and_without_a_total() -> None:
    """Nothing of shares is shown."""
    assert (
        printed(Status(-1, "fifo", 12, 4, 0, LINES[:1]))
        == """\
CODE LOCATION    QUEUED  IN PROGRESS  LIMIT  FROM           OLDEST  WAITS FOR
─────────────────────────────────────────────────────────────────────────────
code-location-a      12            3      3  configuration  1m 15s  its limit

4 in progress (no max_concurrent_runs); 12 queued; sharing fifo"""
    )


def test_code_locations_that_were_changed_alike_have_one_line() -> None:
    """The first three are named."""
    lines = [dataclasses.replace(LINES[1], code_location=f"team-{number}") for number in range(5)]
    window = dataclasses.replace(
        LINES[1], limit_from="window", changed_by=None, changed_at=None, change_reason=None
    )
    changes = printed(Status(10, "fifo", 0, 0, 0, [*lines, window])).splitlines()[-4:-2]
    assert changes == [
        "team-0, team-1, team-2 and 2 more: paused until 2026-01-02 05:04:05 UTC by ann@host at 2026-01-02 03:04:05 UTC:"
        " the [database] is moved",
        "code-location-[b]: window until 2026-01-02 05:04:05 UTC",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59.9, "59s"), (60, "1m 0s"), (3599, "59m 59s"), (3600, "1h 0m"), (90000, "1d 1h")],
)
def test_ages_have_their_two_largest_units(seconds: float, shown: str) -> None:
    """Seconds matter only where there are no hours."""
    assert duration(seconds) == shown


@pytest.mark.parametrize("width", [80, 40])
def test_a_narrow_terminal_cuts_nothing_off(width: int) -> None:
    """Names, numbers and headings stay whole; what there is no room for is named below."""
    line = replace(LINES[0], min=2, waits_for="a higher limit of its group")
    lines = fitted(Status(10, "fair", 12, 3, 0, [line]), width)
    assert lines[0].split() == [
        *("CODE", "LOCATION", "QUEUED", "IN", "PROGRESS", "LIMIT", "SHARE", "OLDEST", "WAITS", "FOR"),
    ]
    assert lines[2].split()[:7] == ["code-location-a", "12", "3", "3", "3.0", "1m", "15s"]
    assert "a higher limit of" in lines[2]
    assert " ".join(lines[4:6]).startswith("(a wider terminal shows MIN, FROM, WEIGHT, CREDIT")


def fitted(status: Status, width: int) -> list[str]:
    """The lines of the table on a terminal of that width."""
    out = io.StringIO()
    Console(file=out, width=width).print(status_table(status), crop=False)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("minimum", [0, 12])
@pytest.mark.parametrize("sharing", ["fair", "fifo"])
def test_names_of_30_characters_fit_into_100_columns(sharing: str, minimum: int) -> None:
    """With large numbers and the longest of what a code location can wait for."""
    name = "code-location-of-the-data-team"
    assert len(name) == 30
    line = replace(
        LINES[0], code_location=name, queued=4800, max_queued=5000, in_progress=120, min=minimum, limit=250,
        limit_from="tag_concurrency_limits", weight=2.5, share=123.4, oldest_queued_seconds=45_000.0,
        waits_for=f"the pool {name}, see `dagster-clt explain`", credit_slot_seconds=-45_000.0,
    )  # fmt: skip
    group = GroupStatus(
        group=name[::-1], locations=[name, name.replace("data", "lake")], queued=4800, in_progress=120, limit=250,
        min=minimum, weight=1.5, share=123.4, credit_slot_seconds=-45_000.0, waits_for="its limit",
    )  # fmt: skip
    lines = fitted(Status(500, sharing, 4800, 120, 0, [line], groups=[group]), 100)
    assert max(map(len, lines)) <= 100
    assert "…" not in "".join(lines)
    assert lines[2].split()[:4] == [name, "4800/5000", "120", "250"]
    assert any(line.startswith(name[::-1]) for line in lines)
