"""When a code location is to be reloaded: once its code server was replaced, and no other one answers any more."""

from dataclasses import dataclass

SETTLED_SECONDS = 5.0
"""How long the same code server has to answer. At first the old and the new one answer in turns."""


@dataclass
class _Answering:
    server_id: str
    since: float


class Replacements:
    """What is known of the code servers of one webserver.

    Dagster's webserver asks every second which code server answers, and reads the code location anew when that has
    changed. Two of its calls in a row may be answered by two servers though, so it may have read the old one.
    """

    def __init__(self) -> None:
        self._answering: dict[str, _Answering] = {}
        self._read: dict[str, str] = {}

    def is_due(self, code_location: str, server_id: str | None, now: float) -> bool:
        """Whether the webserver is to read a code location anew: at first, and after each replacement.

        Args:
            code_location: Its name.
            server_id: Which code server has just answered; None if none has.
            now: Seconds on a clock that never goes back.
        """
        if server_id is None:
            self._answering.pop(code_location, None)
            return False
        answering = self._answering.get(code_location)
        if answering is None or answering.server_id != server_id:
            self._answering[code_location] = answering = _Answering(server_id, now)
        settled = now - answering.since >= SETTLED_SECONDS
        return settled and self._read.get(code_location) != server_id

    def was_read(self, code_location: str, server_id: str) -> None:
        """Note that the webserver has read a code location since a code server began to answer."""
        self._read[code_location] = server_id

    def failed(self, code_location: str) -> None:
        """Note that the webserver could not; it is due again after a while."""
        self._answering.pop(code_location, None)
