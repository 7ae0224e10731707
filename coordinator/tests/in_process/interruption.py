"""Lets something else happen between two statements of what is under test, whatever its code looks like."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy


class Interruption:
    """Something that happens once, in a thread of its own, right behind a statement of this thread.

    This thread goes on when it is over, or after a moment: it may wait for a lock that this thread holds.

    Args:
        statement: Behind which one; the first is 1.
        action: What happens.
    """

    LOCK_TIMEOUT_SECONDS = 0.2

    def __init__(self, statement: int, action: Callable[[], object]) -> None:
        self.happened = False
        self._statements_left = statement
        self._action = action
        self._interrupted = threading.get_ident()
        self._thread = threading.Thread(target=self._act)
        self._raised: list[BaseException] = []

    def _act(self) -> None:
        try:
            self._action()
        except BaseException as error:  # noqa: BLE001 - it is raised where the test sees it
            self._raised.append(error)

    def _after_statement(self, *_: object) -> None:
        if threading.get_ident() != self._interrupted:
            return
        self._statements_left -= 1
        if self._statements_left == 0:
            self.happened = True
            self._thread.start()
            self._thread.join(self.LOCK_TIMEOUT_SECONDS)

    @contextmanager
    def within(self) -> Iterator[None]:
        """Let it happen among the statements from here on."""
        sqlalchemy.event.listen(sqlalchemy.Engine, "after_cursor_execute", self._after_statement)
        try:
            yield
        finally:
            sqlalchemy.event.remove(sqlalchemy.Engine, "after_cursor_execute", self._after_statement)
            if self.happened:
                self._thread.join()
        if self._raised:
            raise self._raised[0]
