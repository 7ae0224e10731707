"""Makes text that users wrote safe to show: names, tags, reasons and error messages. Pure.

Whatever is printed, logged or served goes through here, so that no text can steer a terminal, hide or turn around
what stands beside it, or pass itself off as a line of its own.
"""

import logging

LONGEST_CELL = 500
"""The most characters of one name, reason or cell of a table."""

LONGEST_LINE = 4000
"""The most characters of a whole line."""


def safe(text: object, longest: int = LONGEST_LINE) -> str:
    r"""The text on one line, with whatever can't be printed as a visible escape, such as `\n` or `\x1b`.

    Args:
        text: The text, or an error or a number to show.
        longest: The most characters; longer text is cut and ends in `…`.
    """
    shown = str(text)[: longest + 1]
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in shown
    )
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def one_line(text: str) -> str:
    """What somebody typed, on one line: runs of white space become one blank, and the rest is made safe."""
    return safe(" ".join(text.split()), LONGEST_CELL)


def typed_line(text: str) -> str:
    """One line of text that somebody typed, without blanks around it.

    Raises:
        ValueError: It is empty, too long, or not printable; the message says so.
    """
    line = " ".join(text.split())
    if not line:
        raise ValueError("it is empty; write something, or leave it out")
    if not line.isprintable():
        raise ValueError("it contains characters that can't be printed; leave them out")
    if len(line) > LONGEST_CELL:
        raise ValueError(f"it has {len(line)} characters; shorten it to {LONGEST_CELL}")
    return line


def describe(error: BaseException) -> str:
    """An error's message and that of its cause in one line; the error's type if it has no message.

    When Dagster refuses a configuration, its message begins with the whole schema. Only the errors are kept. What
    SQLAlchemy adds to the database's own message is left out.
    """
    own = getattr(error, "orig", None)
    message = " ".join(str(own or error).split()) or type(error).__name__
    if type(error).__name__ == "DagsterInvalidConfigError":
        return message[max(0, message.find("Error 1: ")) :]
    cause = describe(error.__cause__) if error.__cause__ and not own else ""
    return message if not cause or cause in message else f"{message}: {cause}"


class SafeMessages(logging.Filter):
    """Makes every message of a logger one safe line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Fill in the arguments of a message, and make it safe."""
        record.msg, record.args = safe(record.getMessage()), ()
        return True
