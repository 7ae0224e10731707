"""Which known name somebody meant who typed another one. Pure."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

LONG = 4
"""A word with fewer letters is never taken for a misspelling of another one."""


def most_similar(name: str, names: Iterable[str]) -> str | None:
    """The most similar of some names, ignoring case and punctuation; None if none is similar."""
    plain = {_plain(known): known for known in names}
    matches = get_close_matches(_plain(name), plain, n=1)
    return plain[matches[0]] if matches else None


def likely_meant(name: str, names: Iterable[str]) -> str | None:
    """The name that was most likely meant by a mistyped one; None if none comes to mind.

    Names that differ only in a number, in the last letter or in a short word are not taken for typing mistakes.
    They are siblings: `etl-1` and `etl-2`, `team-a` and `team-b`, `sales-us` and `sales-eu`.
    """
    similar = most_similar(name, (known for known in names if _is_mistake(name, known)))
    return similar if similar != name else None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _is_mistake(name: str, known: str) -> bool:
    one, other = _plain(name), _plain(known)
    if one == other:
        return name != known
    if re.findall(r"\d+", one) != re.findall(r"\d+", other):
        return False
    words, known_words = (re.findall(r"[^\W_]+", either.lower()) for either in (name, known))
    if len(words) != len(known_words):
        return _is_misspelt(one, other)
    differing = [pair for pair in zip(words, known_words, strict=True) if pair[0] != pair[1]]
    return all(_is_misspelt(*pair) for pair in differing)


def _is_misspelt(word: str, other: str) -> bool:
    """Whether the words differ in one or two letters, and not only in the last one."""
    if min(len(word), len(other)) < LONG:
        return False
    changes = [change for change in SequenceMatcher(None, word, other).get_opcodes() if change[0] != "equal"]
    wrong = sum(max(end - begin, other_end - other_begin) for _, begin, end, other_begin, other_end in changes)
    only_the_last = len(word) == len(other) and word[:-1] == other[:-1]
    return wrong <= 2 and not only_the_last  # noqa: PLR2004 - as the docstring says
