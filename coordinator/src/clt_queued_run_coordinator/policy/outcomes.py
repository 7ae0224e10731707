"""What happened to runs between two ticks: which started, which ended, and how. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from clt_queued_run_coordinator.policy.totals import Outcome


@dataclass(frozen=True)
class StartedRun:
    """A run that started.

    Attributes:
        number: The run's id in the storage.
        run_id: Its run id.
        code_location: The code location it comes from; `NO_CODE_LOCATION` if it has no origin.
        created: When it was created, in seconds since 1970.
        started: When it was offered to the daemon, which starts it at once. For a run that was never offered: when
            it began to work, or was first seen.
    """

    number: int
    run_id: str
    code_location: str
    created: float
    started: float


@dataclass(frozen=True)
class EndedRun:
    """A run that ended.

    Attributes:
        number: The run's id in the storage.
        run_id: Its run id.
        code_location: The code location it comes from; `NO_CODE_LOCATION` if it has no origin.
        outcome: How it ended.
        created: When it was created, in seconds since 1970.
        started: When it began to work; None if it never did.
        ended: When it ended.
    """

    number: int
    run_id: str
    code_location: str
    outcome: Outcome
    created: float
    started: float | None
    ended: float


@dataclass(frozen=True)
class SinceLastTick:
    """What happened since the last tick. A run can appear in both lists.

    Attributes:
        started: The runs that started.
        ended: The runs that ended, in the order in which they ended. Runs canceled in the queue are among them.
    """

    started: Sequence[StartedRun] = ()
    ended: Sequence[EndedRun] = ()
