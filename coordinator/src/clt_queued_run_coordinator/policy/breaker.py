"""Circuit breakers: when failed runs pause their code location. Pure.

A breaker counts the runs that ended, in the order in which they did: consecutive failures, or failures within a
period. A run that succeeds ends a series of failures. A canceled run doesn't count, because it says nothing
about the code. While the breaker is open nothing counts, and runs that ended before it was closed don't count
afterwards.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from clt_queued_run_coordinator.config.duration import text_of
from clt_queued_run_coordinator.config.options import Breaker
from clt_queued_run_coordinator.policy.changes import Change, LiveChanges
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.policy.totals import Outcome


@dataclass(frozen=True)
class EndedRun:
    """A run that ended, and when, in seconds since 1970."""

    run_id: str
    code_location: str
    outcome: Outcome
    ended: float


@dataclass(frozen=True)
class OpenBreaker:
    """When a breaker opened, and when it closes by itself; in seconds since 1970 by the database's clock."""

    at: float
    until: float | None = None

    @classmethod
    def of(cls, change: Change) -> "OpenBreaker":
        """The opening that a live change records."""
        return cls(change.at.timestamp(), change.until.timestamp() if change.until else None)


@dataclass(frozen=True)
class BreakerState:
    """What a breaker remembers.

    Attributes:
        in_a_row: The number of failures since the last success; for a breaker that counts consecutive failures.
        failed_at: When runs failed, in seconds since 1970, oldest first; for a breaker that counts within a
            period.
        closed_at: When it was last closed, in seconds since 1970. Runs that ended before don't count.
        last: The run id of the last failed run.
        open: The opening, while the breaker is open.
    """

    in_a_row: int = 0
    failed_at: tuple[float, ...] = ()
    closed_at: float = 0.0
    last: str = ""
    open: OpenBreaker | None = None

    def after(self, run: EndedRun, breaker: Breaker) -> "BreakerState":
        """The state after a run has ended."""
        if self.open or run.ended <= self.closed_at or run.outcome is Outcome.CANCELED:
            return self
        failed = run.outcome is Outcome.FAILURE
        last = run.run_id if failed else self.last
        if breaker.within is None:
            return replace(self, in_a_row=self.in_a_row + 1 if failed else 0, failed_at=(), last=last)
        if not failed:
            return self
        times = sorted((*self.failed_at, run.ended))
        since = times[-1] - breaker.within
        recent = tuple(at for at in times if at >= since)[-breaker.failures :]
        return replace(self, in_a_row=0, failed_at=recent, last=last)

    def opens(self, breaker: Breaker) -> bool:
        """Whether the failures are enough to open the breaker."""
        return max(self.in_a_row, len(self.failed_at)) >= breaker.failures


@dataclass(frozen=True)
class BreakerUpdate:
    """What each breaker remembers now, why breakers open, and which were found to be closed again."""

    states: dict[str, BreakerState]
    opens: dict[str, str]
    closed: tuple[str, ...] = ()


def update(
    before: Mapping[str, BreakerState],
    ended: Iterable[EndedRun],
    breaker_of: Callable[[str], Breaker | None],
    live: LiveChanges,
) -> BreakerUpdate:
    """Count runs in the order in which they ended. The live changes say which breakers are open."""
    states = {name: state for name, state in before.items() if breaker_of(name)}
    closed = []
    for name in {*states, *live.breakers}:
        change = live.breakers.get(name)
        known = states.get(name, BreakerState())
        if change and breaker_of(name):
            states[name] = BreakerState(open=OpenBreaker.of(change))
        elif known.open:
            states[name] = BreakerState(closed_at=_closed_at(name, known.open, live))
            closed.append(name)
    for run in ended:
        name = run.code_location
        breaker = breaker_of(name)
        if breaker is None or name == NO_CODE_LOCATION:
            continue
        state = states.get(name, BreakerState())
        # One that is about to open counts as open, also if that has to wait because it couldn't be stored.
        states[name] = state if state.opens(breaker) else state.after(run, breaker)
    opens = {
        name: _reason(breaker, state.last)
        for name, state in states.items()
        if (breaker := breaker_of(name)) and state.opens(breaker)
    }
    return BreakerUpdate(states, opens, tuple(sorted(closed)))


def _closed_at(name: str, opened: OpenBreaker, live: LiveChanges) -> float:
    """When a breaker closed: by itself or by a resume, whichever came first, but not later than now."""
    now = live.read_at.timestamp()
    resumed = live.pauses.get(name)
    ends = [now, opened.until or now]
    if resumed and not resumed.value and resumed.at.timestamp() >= opened.at:
        ends.append(resumed.at.timestamp())
    return min(ends)


def _reason(breaker: Breaker, last: str) -> str:
    runs = f"{breaker.failures} failed run{'' if breaker.failures == 1 else 's'}"
    within = " in a row" if breaker.within is None else f" within {text_of(breaker.within)}"
    return f"{runs}{within}, last {last}"
