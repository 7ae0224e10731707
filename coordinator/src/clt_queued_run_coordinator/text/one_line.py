"""Text that people typed, made fit for a table or a log line. Pure."""

LONGEST = 500
"""Longer text is cut to this many characters."""


def one_line(text: str) -> str:
    """The text on one line: runs of white space become one blank, and what can't be printed is dropped."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:LONGEST]
