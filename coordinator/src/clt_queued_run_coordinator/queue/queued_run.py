"""A queued run, as far as its place in Dagster's order goes. Pure."""

from typing import NamedTuple


class QueuedRun(NamedTuple):
    """A run in the queue, as far as its place depends on it.

    Attributes:
        priority: Dagster's priority; the larger goes first.
        id: The storage's number of the run; of two with the same priority the smaller, older one goes first.
    """

    priority: int
    id: int

    @property
    def place(self) -> tuple[int, int]:
        """Dagster's order: the smallest goes first."""
        return -self.priority, self.id
