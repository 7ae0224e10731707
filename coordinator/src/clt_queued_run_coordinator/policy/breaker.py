"""Circuit breakers: when failed runs pause their code location. Pure.

A breaker counts the runs that ended, in the order in which they did: consecutive failures, or failures within a
period. A run that succeeds ends a series of failures. A canceled run doesn't count, because it says nothing
about the code. While the breaker is open nothing counts, and runs that ended before it was closed don't count
afterwards.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from clt_queued_run_coordinator.config import plain_data
from clt_queued_run_coordinator.config.duration import text_of
from clt_queued_run_coordinator.config.options import Breaker
from clt_queued_run_coordinator.policy.changes import Change, LiveChanges
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.policy.totals import Outcome


@dataclass(frozen=True)
class EndedRun:
    """A run that ended.

    Attributes:
        run_id: Its run id.
        code_location: The code location it comes from; `NO_CODE_LOCATION` if it has no origin.
        outcome: How it ended.
        ended: When, in seconds since 1970.
    """

    run_id: str
    code_location: str
    outcome: Outcome
    ended: float


@dataclass(frozen=True)
class OpenBreaker:
    """The opening of a breaker.

    Attributes:
        at: When it opened, in seconds since 1970 by the database's clock.
        until: When it closes by itself, by the same clock; None if it doesn't.
    """

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

    def as_data(self) -> dict[str, Any]:
        """The state as plain data, without the parts that have their initial value."""
        data = {
            "in_a_row": self.in_a_row,
            "failed_at": list(self.failed_at),
            "closed_at": self.closed_at,
            "last": self.last,
            "open": self.open and {"at": self.open.at, "until": self.open.until},
        }
        return {key: value for key, value in data.items() if value}

    @classmethod
    def from_data(cls, data: Any) -> "BreakerState":
        """The state from `as_data`; parts that can't be read have their initial value."""
        data = plain_data.mapping(data)
        opened = plain_data.mapping(data.get("open"))
        times = data.get("failed_at")
        failed_at = (plain_data.number(at) for at in times) if isinstance(times, list) else ()
        at = plain_data.number(opened.get("at"))
        return cls(
            in_a_row=plain_data.count(data.get("in_a_row")) or 0,
            failed_at=tuple(sorted(at for at in failed_at if at is not None)),
            closed_at=plain_data.number(data.get("closed_at")) or 0.0,
            last=str(data.get("last") or ""),
            open=None if at is None else OpenBreaker(at, plain_data.number(opened.get("until"))),
        )


@dataclass(frozen=True)
class BreakerUpdate:
    """The effect of the runs that ended.

    Attributes:
        states: What each breaker remembers from now on.
        opens: The reason, for each code location whose breaker opens.
        closed: The code locations whose breaker was found to be closed again.
    """

    states: dict[str, BreakerState]
    opens: dict[str, str]
    closed: tuple[str, ...] = ()


def update(
    before: Mapping[str, BreakerState],
    ended: Iterable[EndedRun],
    breaker_of: Callable[[str], Breaker | None],
    live: LiveChanges,
) -> BreakerUpdate:
    """Count runs that ended.

    Args:
        before: What each breaker remembers.
        ended: The runs, in the order in which they ended.
        breaker_of: Returns the configured breaker of a code location.
        live: The live changes, which say which breakers are open.
    """
    states = {name: state for name, state in before.items() if breaker_of(name)}
    closed = []
    for name in {*states, *live.breakers}:
        change = live.breaker(name)
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
