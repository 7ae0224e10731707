"""The totals and the tracked runs as the daemon stores them: one JSON document under one key.

Both are in one key so that a single statement stores them together; see `run_tracker`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator.policy.totals import Totals
from clt_queued_run_coordinator.store.document import read_text

KEY = "clt_queued_run_coordinator.totals"


@dataclass(frozen=True)
class TrackedRun:
    """A run that was offered to the daemon or is in progress.

    Attributes:
        code_location: The code location it comes from.
        offered: When it was offered, in seconds since 1970; None once its start has been counted.
    """

    code_location: str
    offered: float | None


@dataclass(frozen=True)
class StoredTotals:
    """The parsed document.

    Attributes:
        tracked: The tracked runs, by the storage's id.
        totals: The totals, by code location; the code location with the most recent event comes last.
    """

    tracked: dict[int, TrackedRun]
    totals: dict[str, Totals]


def read_totals(connection: db.Connection) -> dict[str, Totals]:
    """The totals of each code location, as the daemon last stored them.

    Args:
        connection: To the instance's run database.
    """
    stored = parse(read_text(connection, KEY))
    return stored.totals if stored else {}


def render(tracked: Mapping[int, TrackedRun], totals: Mapping[str, Totals], breakers: Any) -> str:
    """The document for `parse`."""
    in_progress: dict[str, list[int]] = {}
    offered: dict[str, dict[int, float]] = {}
    for number, run in tracked.items():
        if run.offered is None:
            in_progress.setdefault(run.code_location, []).append(number)
        else:
            offered.setdefault(run.code_location, {})[number] = round(run.offered, 3)
    data = {
        "totals": {name: of_it.as_data() for name, of_it in totals.items()},
        "in_progress": in_progress,
        "offered": offered,
    }
    return json.dumps({**data, "breakers": breakers} if breakers else data)


def parse(text: str | None) -> StoredTotals | None:
    """The stored document; None if nothing is stored or the document can't be read."""
    try:
        data: Any = json.loads(text) if text else None
        return StoredTotals(
            _tracked(data), {_name(name): Totals.from_data(of_it) for name, of_it in data["totals"].items()}
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def parse_breakers(text: str | None) -> Any:
    """What the circuit breakers remember; readable even where the rest of the document is not."""
    try:
        return json.loads(text).get("breakers") if text else None
    except (ValueError, AttributeError, RecursionError):
        return None


def _tracked(data: Any) -> dict[int, TrackedRun]:
    tracked = {}
    for name, numbers in data["in_progress"].items():
        tracked.update({_number(number): TrackedRun(_name(name), None) for number in numbers})
    for name, offered in data["offered"].items():
        tracked.update({_number(number): TrackedRun(_name(name), _moment(at)) for number, at in offered.items()})
    return tracked


def _name(stored: str) -> str:
    stored.encode()  # JSON can hold lone surrogates, which nothing could display
    return stored


def _number(stored: str | int) -> int:
    number = int(stored)
    if not 0 < number < 2**63:
        raise ValueError(f"{number} is not the id of a run")
    return number


def _moment(stored: float) -> float:
    if not math.isfinite(stored):
        raise ValueError(f"{stored} is not a moment")
    return float(stored)
