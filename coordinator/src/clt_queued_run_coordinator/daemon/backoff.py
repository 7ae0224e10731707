"""Code locations whose runs were offered to the daemon and did not start. Pure.

What holds a run is known before it is offered, but for one thing: whether its code server answers. The daemon
tries, puts the run back and leaves its code location alone for a while, without a word to anybody. Such a code
location must not go on taking the slots that others could use. So it gets what the others leave. Where they use up
every slot it would never be tried again; so after some ticks it is offered like any other for one tick, and each
time that nothing starts it waits twice as long.
"""

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass

MAX_TICKS = 16
"""The most ticks that a code location gets only what the others leave."""


@dataclass(frozen=True)
class Backoff:
    """A code location whose offered runs did not start.

    Attributes:
        ticks: For how many ticks it gets only what the others leave.
        left: How many of them are left; with 0 it is offered like any other.
    """

    ticks: int = 1
    left: int = 1


def after_tick(
    before: Mapping[str, Backoff], offered: Mapping[str, Collection[int]], queued: Container[int]
) -> dict[str, Backoff]:
    """The code locations that are stuck at the coming tick.

    Args:
        before: Those of the last tick.
        offered: The runs of each code location that were offered in the last tick, by the storage's number.
        queued: The runs that are queued now.
    """
    coming = {}
    for name in {*before, *offered}:
        runs = offered.get(name, ())
        if all(run in queued for run in runs):
            coming[name] = _again(before.get(name), tried=bool(runs))
    return coming


def _again(backoff: Backoff | None, *, tried: bool) -> Backoff:
    if backoff is None:
        return Backoff()
    if backoff.left or not tried:
        return Backoff(backoff.ticks, max(0, backoff.left - 1))
    ticks = min(2 * backoff.ticks, MAX_TICKS)
    return Backoff(ticks, ticks)
