"""Texts that people write, as a table or a log line can show them. Pure."""

LONGEST = 500
"""The most characters that are kept of one."""


def one_line(text: str) -> str:
    """A text in one line: its white space as single blanks, nothing unprintable, and not too long."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:LONGEST]
