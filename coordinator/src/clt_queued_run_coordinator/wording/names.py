"""Names that somebody may have meant. Pure."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

LONG = 4
"""So many letters a word has for another one to be taken for a typing mistake of it."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name most like another, capitals and punctuation aside; None where none is alike."""
    plain = {_plain(known): known for known in names}
    matches = get_close_matches(_plain(name), plain, n=1)
    return plain[matches[0]] if matches else None


def mistyped(name: str, names: Iterable[str]) -> str | None:
    """The name that another one is most likely a typing mistake of; None where none is.

    Names that differ in a number, in their last letter or in a short word are siblings of one another, such as
    `etl-1` and `etl-2`, `team-a` and `team-b`, `sales-us` and `sales-eu`.
    """
    similar = nearest(name, (known for known in names if _is_mistake(name, known)))
    return similar if similar != name else None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _is_mistake(name: str, known: str) -> bool:
    one, other = _plain(name), _plain(known)
    if one == other:
        return name != known
    if _numbers(one) != _numbers(other):
        return False
    words, known_words = _words(name), _words(known)
    if len(words) != len(known_words):
        return _is_misspelt(one, other)
    differing = [pair for pair in zip(words, known_words, strict=True) if pair[0] != pair[1]]
    return all(_is_misspelt(*pair) for pair in differing)


def _is_misspelt(word: str, other: str) -> bool:
    """Whether a word is another one with a letter or two wrong, missing or too much, though not just the last."""
    if min(len(word), len(other)) < LONG:
        return False
    changes = [change for change in SequenceMatcher(None, word, other).get_opcodes() if change[0] != "equal"]
    wrong = sum(max(end - begin, other_end - other_begin) for _, begin, end, other_begin, other_end in changes)
    only_the_last = len(word) == len(other) and word[:-1] == other[:-1]
    return wrong <= 2 and not only_the_last  # noqa: PLR2004 - as the docstring says


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name.lower())


def _numbers(plain: str) -> list[str]:
    return re.findall(r"\d+", plain)
