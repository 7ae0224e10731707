"""Names with a `*` in them, each of which means every code location that matches it. Pure."""

import fnmatch
import glob
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

_ANY = "*"


def is_pattern(name: str) -> bool:
    """Whether a name has a `*`, which stands for any characters, or for none. No other character is special."""
    return _ANY in name


@dataclass(frozen=True)
class Names:
    """Names and patterns that something is configured for."""

    names: Collection[str]

    @cached_property
    def _patterns(self) -> list[tuple[str, re.Pattern[str]]]:
        """The pattern with the most characters besides `*` first; of equally long ones, by the alphabet."""
        patterns = sorted(filter(is_pattern, self.names), key=lambda name: (name.count(_ANY) - len(name), name))
        return [
            (name, re.compile(fnmatch.translate(_ANY.join(map(glob.escape, name.split(_ANY))))))
            for name in patterns
        ]

    def closest(self, code_location: str) -> str | None:
        """What counts for a code location: its own name, else the first pattern that matches, else nothing."""
        if code_location in self.names:
            return code_location
        if not (self._patterns and code_location):
            return None
        return next((name for name, pattern in self._patterns if pattern.match(code_location)), None)
