"""Names that somebody may have meant. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name most like another, capitals and punctuation aside; None where none is alike."""
    plain = {_plain(known): known for known in names}
    matches = get_close_matches(_plain(name), plain, n=1)
    return plain[matches[0]] if matches else None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
