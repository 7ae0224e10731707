"""The table that `dagster-clt status` prints."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group as Parts
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from clt_queued_run_coordinator.operate.status import CodeLocationStatus, GroupStatus, Status
from clt_queued_run_coordinator.text.formats import duration, signed_duration, timestamp
from clt_queued_run_coordinator.text.safe import safe
from clt_queued_run_coordinator.text.tables import Uncut, new_table


def status_table(status: Status) -> RenderableType:
    """A table of the code locations, one of the groups, a line for each change in force, and a summary."""
    is_fair = status.sharing == "fair"
    has_minimums = any(line.min for line in status.code_locations) or any(line.min for line in status.groups)
    table = _table("CODE LOCATION", has_minimums=has_minimums)
    table.add_column("FROM", no_wrap=True)
    if is_fair:
        _add_shares(table)
    table.add_column("OLDEST", justify="right", no_wrap=True)
    table.add_column("WAITS FOR")
    for line in status.code_locations:
        shares = [f"{line.weight:g}", *_share(line)] if is_fair else []
        table.add_row(
            Text(line.code_location),
            str(line.queued) if line.max_queued is None else f"{line.queued}/{line.max_queued}",
            str(line.in_progress),
            "-" if line.limit is None else str(line.limit),
            *([str(line.min)] if has_minimums else []),
            line.limit_from,
            *shares,
            "-" if line.oldest_queued_seconds is None else duration(line.oldest_queued_seconds),
            line.waits_for,
        )
    parts: list[RenderableType] = [
        Uncut(table),
        *([_group_table(status, has_minimums=has_minimums, is_fair=is_fair)] if status.groups else []),
    ]
    changes = [Text(safe(line)) for line in _changes(status)]
    parts += [Parts(*changes)] if changes else []
    return Parts(*(of_it for part in parts for of_it in (part, Text())), Text(_summary(status)))


def _group_table(status: Status, *, has_minimums: bool, is_fair: bool) -> Uncut:
    table = _table("GROUP", has_minimums=has_minimums)
    if is_fair:
        _add_shares(table)
    table.add_column("WAITS FOR", no_wrap=True)
    table.add_column("CODE LOCATIONS")
    for line in status.groups:
        table.add_row(
            Text(line.group),
            str(line.queued),
            str(line.in_progress),
            "-" if line.limit is None else str(line.limit),
            *([str(line.min)] if has_minimums else []),
            *([f"{line.weight:g}", *_share(line)] if is_fair else []),
            line.waits_for,
            Text(", ".join(line.locations)),
        )
    return Uncut(table)


def _table(first: str, *, has_minimums: bool) -> Table:
    table = new_table()
    table.add_column(first, no_wrap=True)
    for heading in ("QUEUED", "IN PROGRESS", "LIMIT", *(["MIN"] if has_minimums else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _add_shares(table: Table) -> None:
    for heading in ("WEIGHT", "SHARE", "CREDIT"):
        table.add_column(heading, justify="right", no_wrap=True)


def _share(line: CodeLocationStatus | GroupStatus) -> list[str]:
    return [
        "-" if line.share is None else f"{line.share:.1f}",
        "-" if line.credit_slot_seconds is None else signed_duration(line.credit_slot_seconds),
    ]


NAMED = 3
"""A change of many code locations names this many of them and counts the rest."""


def _changes(status: Status) -> Iterator[str]:
    """A line for each live change or window in force, for which the table has no room."""
    alike: dict[str, list[str]] = {}
    for line in status.code_locations:
        alike.setdefault(_change(line), []).append(line.code_location)
    for what, names in alike.items():
        if what:
            others = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            yield f"{', '.join(names[:NAMED])}{others}: {what}"


def _change(line: CodeLocationStatus) -> str:
    parts = [line.limit_from]
    if line.changed_until:
        parts.append(f"until {timestamp(datetime.fromisoformat(line.changed_until))}")
    if line.changed_by and line.changed_at:
        parts.append(f"by {line.changed_by} at {timestamp(datetime.fromisoformat(line.changed_at))}")
    if len(parts) == 1:
        return ""
    return " ".join(parts) + (f": {line.change_reason}" if line.change_reason else "")


def _summary(status: Status) -> str:
    total = "no max_concurrent_runs" if status.max_concurrent_runs == -1 else f"of {status.max_concurrent_runs}"
    others = (
        f", {status.without_code_location} of them without a code location" if status.without_code_location else ""
    )
    return f"{status.in_progress} in progress ({total}){others}; {status.queued} queued; sharing {status.sharing}"
