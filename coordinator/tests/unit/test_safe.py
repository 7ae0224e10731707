"""Text that users wrote is shown on one line, with visible escapes."""

import io
import logging

import pytest
from clt_queued_run_coordinator.text.safe import SafeMessages, describe, one_line, safe
from clt_queued_run_coordinator.text.tables import Column, TextTable
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("code-location-a", "code-location-a"),
        ("größer 漢字", "größer 漢字"),
        ("a\nHeld: b", r"a\nHeld: b"),
        ("\x1b[2Ja\r\x9b31m\x7f", r"\x1b[2Ja\r\x9b31m\x7f"),
        ("\u202edlof\u2066\u200b\u2028", r"\u202edlof\u2066\u200b\u2028"),
        ("\udc80", r"\udc80"),
        ("", ""),
    ],
)
def test_what_cannot_be_printed_is_a_visible_escape(text: str, shown: str) -> None:
    """What people write in any language stays as it is."""
    assert safe(text) == shown


@given(st.text(st.characters(), max_size=60))
def test_any_text_is_one_line_of_bounded_length(text: str) -> None:
    """Which any encoding for Unicode takes."""
    for shown in (safe(text, 20), one_line(text)):
        assert shown.isprintable()
        shown.encode()
    assert len(safe(text, 20)) <= 20


def test_a_log_line_is_one_line() -> None:
    """With its arguments."""
    logger, written = logging.Logger("any"), io.StringIO()
    logger.addHandler(logging.StreamHandler(written))
    logger.addFilter(SafeMessages())
    logger.warning("Run %s: %s, 100 %%", "a\nb", ValueError("\x1b[31m"))
    assert written.getvalue() == "Run a\\nb: \\x1b[31m, 100 %\n"


def test_a_table_shows_cells_as_they_are() -> None:
    """No markup, no escape codes, no lines within a cell."""
    table, written = TextTable([Column("NAME", str)], ["[bold]a[/bold][/]\nb\x1b[2J"]), io.StringIO()
    Console(file=written, width=200, force_terminal=False).print(table)
    assert r"[bold]a[/bold][/]\nb\x1b[2J" in written.getvalue()


def test_an_error_is_described_with_its_cause() -> None:
    """What SQLAlchemy adds to the message of the database is left out."""
    error = RuntimeError("it\nfailed")
    error.__cause__ = KeyError()
    assert describe(error) == "it failed: KeyError"
    error.orig = OSError("no route")  # type: ignore[attr-defined]
    assert describe(error) == "no route"
