"""Backs off from code locations whose runs were offered to the daemon and did not start. Pure.

Everything that can hold a run is known before it is offered, with one exception: whether its code server answers.
If it doesn't, the daemon puts the run back and silently leaves the code location alone for a while. Such a code
location must not keep taking slots that others could use, so it gets only the slots that the others leave.

If the others used every slot, it would never be tried again. So after some ticks it is offered like any other for
one tick. Each time that nothing starts, the number of ticks doubles.
"""

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass

MAX_TICKS = 16
"""The longest backoff in ticks."""


@dataclass(frozen=True)
class Backoff:
    """The ticks for which one code location gets only the slots that the others leave, and how many are left.

    With none left it is offered like any other.
    """

    ticks: int = 1
    left: int = 1


def after_tick(
    before: Mapping[str, Backoff], offered: Mapping[str, Collection[int]], queued: Container[int]
) -> dict[str, Backoff]:
    """The backoffs for the coming tick, by the runs that the last one offered and those that are queued now."""
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
