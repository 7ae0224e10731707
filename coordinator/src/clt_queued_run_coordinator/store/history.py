"""The history of live changes: who changed what, when, until when and why.

Each entry has a key of its own in Dagster's key-value store, so that concurrent writers lose none. The keys are
outside the prefix that each tick reads. An entry is written in the transaction of its change, which also deletes
the oldest entries.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import KeyValueStoreTable
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION
from clt_queued_run_coordinator.store import document
from clt_queued_run_coordinator.text.safe import one_line

PREFIX = "clt_queued_run_coordinator.history/"
KEPT = 500
"""The number of entries that are kept."""


@dataclass(frozen=True)
class HistoryEntry:
    """One live change: of a `limit`, of `paused`, or of a `breaker`. Times are ISO 8601 in UTC.

    `before` and `after` are the live values: a limit, or whether it was paused or its breaker was open; None for
    none. The code location is `*` for all of them at once. A change of the `priority` of queued runs
    is an entry too, and `of` says which runs in words.
    """

    at: str
    by: str
    code_location: str
    change: str
    before: int | bool | None
    after: int | bool | None
    until: str | None = None
    reason: str | None = None
    of: str | None = None

    @property
    def subject(self) -> str:
        """Whom it was about, in words."""
        return "every code location" if self.code_location == EVERY_CODE_LOCATION else self.code_location

    @property
    def what(self) -> str:
        """What it did, in words."""
        if self.change == "limit":
            what = "limit cleared" if self.after is None else f"limit {self.after}"
            return what if self.before is None else f"{what}, {self.before} before"
        if self.change == "paused":
            return "paused" if self.after else "resumed"
        if self.change == "priority":
            return f"priority {self.after} of {self.of}"
        return f"circuit {self.change} {'opened' if self.after else 'closed'}"

    def as_data(self) -> dict[str, Any]:
        """The entry as plain data, for JSON."""
        data = {{"before": "from", "after": "to"}.get(name, name): value for name, value in asdict(self).items()}
        return {name: value for name, value in data.items() if name != "of" or value}


def record(connection: db.Connection, number: str, entry: HistoryEntry) -> None:
    """Add an entry under a unique id in the transaction of the change, and delete the oldest ones."""
    table = KeyValueStoreTable
    document.write(connection, PREFIX + number, entry.as_data())
    oldest = (
        db.select(table.c.id)
        .where(document.begins_with(PREFIX))
        .order_by(table.c.id.desc())
        .offset(KEPT)
        .limit(1)
        .scalar_subquery()
    )
    connection.execute(table.delete().where(document.begins_with(PREFIX), table.c.id <= oldest))


def read(connection: db.Connection) -> list[HistoryEntry]:
    """The readable entries, newest first."""
    entries = map(_entry, reversed(document.read_texts(connection, PREFIX).values()))
    return [entry for entry in entries if entry]


def _entry(text: str) -> HistoryEntry | None:
    try:
        data: Any = json.loads(text)
        if not all(value is None or isinstance(value, int) for value in (data["from"], data["to"])):
            return None
        return HistoryEntry(
            at=_moment(data["at"]),
            by=one_line(str(data["by"])),
            code_location=str(data["code_location"]),
            change=one_line(str(data["change"])),
            before=data["from"],
            after=data["to"],
            until=None if data["until"] is None else _moment(data["until"]),
            reason=None if data["reason"] is None else one_line(str(data["reason"])),
            of=one_line(str(data["of"])) if data.get("of") else None,
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).isoformat(timespec="seconds")
